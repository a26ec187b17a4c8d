"""Write the folder that is published."""

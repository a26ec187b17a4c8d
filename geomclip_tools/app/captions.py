"""Captions that can be watched as they grow."""

import threading
from collections.abc import Iterator, Mapping
from typing import Any

from transformers import TextIteratorStreamer

from modeling_geomclip.processing_captioning_geomclip import UNLIKE

from ..evaluation.caption_generation import choose_length, list_prompt_inputs
from ..loading import load_captioner

GEOMETRY = ("atomic_numbers", "positions")


class Captions:
    """A captioner.

    Args:
        name: checkpoint folder, adapter folder or Hub id.
    """

    def __init__(self, name: str):
        self._model, self._processor = load_captioner(name)

    def __call__(self, row: Mapping[str, Any]) -> Iterator[str]:
        """Yield the growing caption of a row of an index."""
        molecule = {name: row[name] for name in GEOMETRY}
        prompt_inputs = list_prompt_inputs(self._model, self._processor, [row])
        if self._processor.is_unlike(*prompt_inputs.get("neighbours", [[]])):
            yield UNLIKE
            return
        inputs = self._processor([molecule], **prompt_inputs, return_tensors="pt")
        streamer = TextIteratorStreamer(self._processor.decoder_tokenizer, skip_special_tokens=True)
        settings = {"streamer": streamer, "max_new_tokens": choose_length(self._model), "do_sample": False}
        thread = threading.Thread(target=self._generate, args=(inputs.to(self._model.device), settings))
        thread.start()
        caption = ""
        for part in streamer:
            caption += part
            yield caption.strip()
        thread.join()

    def _generate(self, inputs: Mapping[str, Any], settings: dict[str, Any]) -> None:
        try:
            self._model.generate(**inputs, **settings)
        finally:
            settings["streamer"].end()  # also after an error, so that nobody waits for ever

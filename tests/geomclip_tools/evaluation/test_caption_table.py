"""Tables of caption scores for values chosen by hand."""

from geomclip_tools.evaluation.caption_table import format_false_statements, format_losses, format_scores


def test_the_tables_show_percent_intervals_and_gaps():
    model = {"bleu_2": 0.12345, "bleu_2_low": 0.1, "bleu_2_high": 0.1999, "meteor": None, "consistency": 0.5}
    model |= {"consistency_low": None, "consistency_high": None}  # no resamples
    lead = {"bleu_2": -0.01, "bleu_2_low": -0.02, "bleu_2_high": 0.004}
    results = {
        "scores": {"model": model, "nearest by ECFP4": {"rouge_l": 1.0}},
        "differences": {"nearest by ECFP4": lead},
    }
    names = "BLEU-2 | BLEU-4 | ROUGE-1 | ROUGE-2 | ROUGE-L | METEOR | consistency | fact precision | fact recall"
    rule = "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    assert format_scores(results).split("\n") == [
        f"| system | {names} |",
        rule,
        "| model | 12.3 [10.0, 20.0] | – | – | – | – | – | 50.0 | – | – |",
        "| nearest by ECFP4 | – | – | – | – | 100.0 | – | – | – | – |",
        "",
        f"| model minus | {names} |",
        rule,
        "| nearest by ECFP4 | -1.0 [-2.0, 0.4] | – | – | – | – | – | – | – | – |",
    ]


def test_the_line_of_losses_has_an_interval_if_there_is_one():
    losses = {"right_geometry": 1.25, "other_geometry": 1.5, "difference": 0.25, "share_of_rows_better": 0.875}
    ends = {"difference_low": -0.1, "difference_high": 0.6}
    assert "difference 0.2500 [-0.1000, 0.6000], the correct geometry is better in 87.5 % of rows" in format_losses(
        losses | ends
    )
    assert "1.2500 nats per token with the correct geometry, 1.5000 with" in format_losses(losses | ends)
    assert "difference 0.2500, the" in format_losses(losses | dict.fromkeys(ends))


def test_a_missing_meteor_says_why():
    scores = {"bleu_2": 0.5, "meteor": None, "meteor_unavailable": "there is no WordNet; install it"}
    results = {"scores": {"model": scores}, "differences": {}}
    assert format_scores(results).endswith("\n\nno METEOR: there is no WordNet; install it")
    del scores["meteor_unavailable"]
    assert "METEOR:" not in format_scores(results)


def test_false_statements_are_shown_by_kind():
    model = {"false_element": 0.25, "false_element_low": 0.125, "false_element_high": 0.5, "false_ring": 0.0}
    assert format_false_statements({"scores": {"model": model}}).split("\n") == [
        "| captions with | a false element | a false ring | a false charge |",
        "| --- | --- | --- | --- |",
        "| model | 25.0 [12.5, 50.0] | 0.0 | – |",
    ]

"""What lossfast says of paths and transcripts is what Keras, torchaudio, RapidFuzz and jiwer say."""

import numpy as np
import pytest
from paths import hypotheses, log_softmax
from test_edit_distance import HEARD, SPOKEN, noisy

import lossfast as lf

RNG = np.random.default_rng(8)


# --- Keras --------------------------------------------------------------------------------------------------------


def keras_decode(z, **options):
    keras = pytest.importorskip("keras")
    lengths = np.full(len(z), z.shape[1])
    labels, scores = keras.ops.ctc_decode(z, lengths, mask_index=0, **options)
    return np.asarray(labels), np.asarray(scores)


def test_greedy_is_that_of_keras():
    z = 3 * RNG.normal(size=(20, 30, 6)).astype(np.float32)
    labels, scores = keras_decode(z, strategy="greedy")
    found = lf.ctc_greedy_decode(z)
    assert [tuple(k for k in row if k >= 0) for row in labels[0].tolist()] == hypotheses(found)
    # Keras's score is minus the sum of the greatest logits, which are log-probabilities to it.
    np.testing.assert_allclose(lf.ctc_greedy_decode(z, from_logits=False).log_probability, -scores[:, 0], rtol=1e-5)


def test_beam_search_is_that_of_keras():
    z = 3 * RNG.normal(size=(6, 12, 5)).astype(np.float32)
    log_p = log_softmax(z).astype(np.float32)
    labels, scores = keras_decode(log_p, strategy="beam_search", beam_width=200, top_paths=1)
    found = lf.ctc_beam_search(z, beam_width=200)
    assert [tuple(k for k in row if k >= 0) for row in labels[0].tolist()] == hypotheses(found)
    np.testing.assert_allclose(found.log_probability, scores, rtol=1e-4)


# --- torchaudio ---------------------------------------------------------------------------------------------------


def torchaudio_forced_align(log_p, labels, blank=0):
    """The rules of torchaudio.functional.forced_align, re-derived: the path and the log-probability of each frame."""
    frames, states = len(log_p), 2 * len(labels) + 1
    label = [blank if s % 2 == 0 else labels[s // 2] for s in range(states)]
    alpha = np.full((frames, states), -np.inf)
    back = np.zeros((frames, states), int)
    alpha[0, 0], alpha[0, 1] = log_p[0, blank], log_p[0, label[1]]
    for t in range(1, frames):
        for s in range(states):
            x = [alpha[t - 1, s], alpha[t - 1, s - 1] if s else -np.inf, -np.inf]
            if s > 1 and s % 2 and label[s] != label[s - 2]:
                x[2] = alpha[t - 1, s - 2]
            back[t, s] = 2 if x[2] > x[1] and x[2] > x[0] else 1 if x[1] > x[0] and x[1] > x[2] else 0
            alpha[t, s] = x[back[t, s]] + log_p[t, label[s]]
    s = states - 1 if alpha[-1, -1] > alpha[-1, -2] else states - 2
    path = np.zeros(frames, int)
    for t in range(frames - 1, -1, -1):
        path[t] = label[s]
        s -= back[t, s]
    return path, log_p[np.arange(frames), path]


def torchaudio_merge_tokens(tokens, scores, blank=0):
    """The rules of torchaudio.functional.merge_tokens: (token, start, end, mean score) of each run but of blanks."""
    spans, start = [], 0
    for t in range(1, len(tokens) + 1):
        if t == len(tokens) or tokens[t] != tokens[start]:
            if tokens[start] != blank:
                spans.append((tokens[start], start, t, scores[start:t].mean()))
            start = t
    return spans


@pytest.mark.parametrize("labels", [[3, 1, 4, 1, 5], [2, 2, 2], [1]])
def test_it_is_what_torchaudio_says(labels):
    for frames in (7, 30):
        log_p = log_softmax(2 * RNG.normal(size=(frames, 6)))
        path, scores = torchaudio_forced_align(log_p, labels)
        found = lf.ctc_align(labels, log_p, from_logits=False)
        np.testing.assert_array_equal(found.path, path)
        np.testing.assert_allclose(found.frame_score, scores, rtol=1e-14)
        spans = torchaudio_merge_tokens(path, scores)
        assert [s[:3] for s in spans] == list(zip(labels, found.start.tolist(), found.end.tolist(), strict=True))
        np.testing.assert_allclose(found.score, [s[3] for s in spans], rtol=1e-14)


def test_it_is_torchaudio():
    torch = pytest.importorskip("torch")
    try:
        import torchaudio
    except (ImportError, OSError) as error:  # one that was built for a GPU does not load everywhere
        pytest.skip(f"torchaudio cannot be loaded: {error}")
    y, z = RNG.integers(1, 12, (1, 20)), 3 * RNG.normal(size=(1, 80, 12))
    log_p = log_softmax(z)
    path, scores = torchaudio.functional.forced_align(torch.from_numpy(log_p), torch.from_numpy(y), blank=0)
    found = lf.ctc_align(y, z)
    np.testing.assert_array_equal(found.path, path.numpy())
    np.testing.assert_allclose(found.frame_score, scores.numpy(), rtol=1e-10)


# --- Edit distance ------------------------------------------------------------------------------------------------


def test_distances_and_counts_are_those_of_rapidfuzz():
    rapidfuzz = pytest.importorskip("rapidfuzz")
    for alphabet in (2, 4, 26):
        for m in (3, 20, 64, 150):
            r = "".join(chr(97 + x) for x in RNG.integers(0, alphabet, m))
            h = "".join(chr(97 + x) for x in noisy([ord(x) - 97 for x in r], 0.3, alphabet))
            found = lf.edit_distance(r, h, counts=True)
            edits = rapidfuzz.distance.Levenshtein.editops(r, h)
            kinds = [[e.tag for e in edits].count(tag) for tag in ("replace", "delete", "insert")]
            assert list(found) == [len(edits), *kinds]


def test_rates_are_those_of_jiwer():
    jiwer = pytest.importorskip("jiwer")
    assert lf.word_error_rate(SPOKEN, HEARD) == pytest.approx(jiwer.wer(SPOKEN, HEARD), rel=1e-15)
    assert lf.character_error_rate(SPOKEN, HEARD) == pytest.approx(jiwer.cer(SPOKEN, HEARD), rel=1e-15)

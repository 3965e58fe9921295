"""Transformers' own models, tiny: what is caught in one call is what a loop over single tokens finds."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_speakers as tiny

pytest.importorskip("transformers", reason="transformers not installed; run: make test-lerobot")
torch = pytest.importorskip("torch")

from policy_node.backends import BackendError, load  # noqa: E402
from vla_policy.checkpoints import code_digest  # noqa: E402
from vla_policy.generation import Prompter, Said, Speaker  # noqa: E402
from vla_policy.observation import Observation  # noqa: E402
from vla_uq.errors import InputError  # noqa: E402
from vla_uq.geometry import rotation_matrix  # noqa: E402
from vla_uq.uncertainty.token_disagreement import mutual_information  # noqa: E402

if importlib.util.find_spec("lerobot"):  # its environment has a torchvision that transformers cannot import unprepared
    from vla_server.lerobot.environment import prepare

    prepare()

CLOSE = 2e-6
MANIFESTS = {"openvla": tiny.MANIFEST, "pi0_fast": tiny.FAST_MANIFEST}
TOKENS = 14


@pytest.fixture(scope="module", params=list(MANIFESTS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("speakers")
    return {name: tiny.write(root / name, manifest) for name, manifest in MANIFESTS.items()}


class Scene:
    """Both members, a prompt, and what member 0 wrote after it."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.actions = MANIFESTS[kind].words.ids
        self.members = [Speaker(folder / f"member_{number}", "cpu", self.actions) for number in (0, 1)]
        self.inputs = Prompter(folder / "member_0")("<image> in: put the red cube out:", [tiny.image()])
        self.said = self.members[0].say(self.inputs, TOKENS)

    def model(self, number: int) -> Any:
        return self.members[number]._model

    def step_by_step(self, number: int) -> tuple[Any, Any]:
        """Logits (n, V) and hidden states (n, D) of a member that is handed member 0's tokens one at a time."""
        model, logits, hidden = self.model(number), [], []
        feed, cache = self.inputs, None
        mask = self.inputs["attention_mask"]
        with torch.no_grad():
            for token in self.said.tokens:
                found = model(**feed, past_key_values=cache, use_cache=True, output_hidden_states=True)
                logits.append(found.logits[0, -1])
                hidden.append(found.hidden_states[-1][0, -1])
                mask, cache = torch.cat([mask, torch.ones(1, 1, dtype=mask.dtype)], 1), found.past_key_values
                feed = {"input_ids": torch.tensor([[int(token)]]), "attention_mask": mask}
        return torch.stack(logits), torch.stack(hidden)


@pytest.fixture(scope="module")
def scene(folders: dict[str, Path], kind: str) -> Scene:
    return Scene(folders[kind], kind)


@pytest.fixture
def observation() -> Observation:
    turn = rotation_matrix([0.3, -0.2, 0.1])
    images = {"agentview": tiny.image(1), "wrist": tiny.image(2)}
    return Observation(images, np.array([0.4, 0.0, 0.2]), turn, 0.08, "put_the red cube")


def act(backend: Any, observation: Observation) -> Any:
    backend.reset(observation.instruction, None)
    return backend.act(observation)


def test_hidden_states_are_what_enters_the_head(scene: Scene) -> None:
    found = scene.model(0).generate(
        **scene.inputs,
        do_sample=False,
        max_new_tokens=TOKENS,
        return_dict_in_generate=True,
        output_hidden_states=True,
        output_logits=True,
    )
    np.testing.assert_array_equal(found.sequences[0, -len(scene.said.tokens) :], scene.said.tokens)
    expected = torch.stack([layers[-1][0, -1] for layers in found.hidden_states])
    np.testing.assert_allclose(scene.said.hidden, expected, atol=CLOSE)
    logits = scene.model(0).lm_head(torch.from_numpy(scene.said.hidden)).detach()
    np.testing.assert_allclose(scene.said.logits[:, 1:], logits[:, scene.actions], atol=CLOSE)


def test_one_call_equals_one_token_at_a_time(scene: Scene) -> None:
    logits, hidden = scene.step_by_step(0)
    np.testing.assert_array_equal(logits.argmax(1), scene.said.tokens)
    np.testing.assert_allclose(scene.said.hidden, hidden, atol=CLOSE)
    np.testing.assert_allclose(scene.said.logits[:, 1:], logits[:, scene.actions], atol=CLOSE)
    inside, everything = scene.said.logits[:, 1:], np.logaddexp.reduce(scene.said.logits, axis=1)
    mass = np.exp(inside - everything[:, None]).sum(1)
    np.testing.assert_allclose(mass, logits.softmax(1)[:, scene.actions].sum(1), atol=CLOSE)


@pytest.mark.parametrize("number", [0, 1])
def test_reading_along_equals_one_token_at_a_time(scene: Scene, number: int) -> None:
    logits, _ = scene.step_by_step(number)
    heard = scene.members[number].hear(scene.inputs, scene.said.tokens)
    np.testing.assert_allclose(heard[:, 1:], logits[:, scene.actions], atol=CLOSE)
    assert heard.shape == scene.said.logits.shape
    one = scene.members[number].hear(scene.inputs, scene.said.tokens[:1])
    np.testing.assert_allclose(one, heard[:1], atol=CLOSE)


def test_later_tokens_change_nothing_before_them(scene: Scene) -> None:
    other = np.concatenate([scene.said.tokens[:5], scene.said.tokens[5:][::-1] - 1])
    heard = scene.members[1].hear(scene.inputs, other)
    np.testing.assert_allclose(heard[:6], scene.members[1].hear(scene.inputs, scene.said.tokens)[:6], atol=CLOSE)


def test_openvla_acts_and_is_looked_into(folders: dict[str, Path], observation: Observation) -> None:
    backend: Any = load("", folders["openvla"])
    info, inference = backend.info, act(backend, observation)
    assert (info.back_end, info.members, info.horizon, info.dim) == ("transformers_ar", 2, tiny.HORIZON, 6)
    said, manifest = inference.memory.said, tiny.MANIFEST
    chunk = manifest.actions.restore(manifest.words.decode(said.tokens).reshape(tiny.HORIZON, 7))
    np.testing.assert_allclose(inference.actions, chunk[:, :6], atol=1e-7)
    np.testing.assert_allclose(inference.gripper, (chunk[:, 6] + 1) / 2, atol=1e-7)
    tensors = backend.introspect(inference)
    assert set(tensors) == set(info.tensors)
    assert {value.dtype for value in tensors.values()} == {np.dtype(np.float32)}
    assert {value.shape for name, value in tensors.items() if name != "features"} == {(7 * tiny.HORIZON,)}
    np.testing.assert_allclose(tensors["features"], said.hidden.mean(0), atol=CLOSE)
    logits = torch.from_numpy(said.logits)
    among = logits[:, 1:].log_softmax(1)
    chosen = torch.from_numpy(said.tokens - manifest.words.ids.start)[:, None]
    np.testing.assert_allclose(tensors["token_logprobs"], among.gather(1, chosen)[:, 0], atol=CLOSE)
    np.testing.assert_allclose(tensors["token_entropies"], -(among.exp() * among).sum(1), atol=CLOSE)
    np.testing.assert_allclose(tensors["token_mass"], 1 - logits.softmax(1)[:, 0], atol=CLOSE)
    heard = backend._members[1].hear(inference.memory.inputs, said.tokens)
    expected = mutual_information(np.stack([said.logits, heard])[:, :, 1:])
    np.testing.assert_allclose(tensors["token_disagreement"], expected, atol=CLOSE)
    assert (expected > 0).all()


def scripted(backend: Any, monkeypatch: pytest.MonkeyPatch, *tokens: int) -> None:
    """Put words into the actor's mouth: an untrained model writes no chunk of its own."""
    actor, ids = backend._members[0], np.array(tokens)
    hidden = np.arange(len(ids) * 32, dtype=np.float32).reshape(-1, 32)
    monkeypatch.setattr(actor, "say", lambda inputs, most: Said(ids, actor.hear(inputs, ids), hidden))


def fast_words(count: int = 7 * tiny.HORIZON) -> list[int]:
    return [int(token) for token in tiny.FAST_MANIFEST.words.id_of(np.arange(count) + 4)]  # type: ignore[union-attr]


def test_fast_acts_on_what_is_framed(
    folders: dict[str, Path], observation: Observation, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend: Any = load("", folders["pi0_fast"])
    scripted(backend, monkeypatch, 11, *fast_words(), 13, 2)
    inference = act(backend, observation)
    normalised = tiny.FAST_MANIFEST.words.read(  # type: ignore[union-attr]
        "".join(chr(103 - 12 + 4 + number) for number in range(14)), tiny.HORIZON, 7
    )
    chunk = tiny.FAST_MANIFEST.actions.restore(normalised)
    np.testing.assert_allclose(inference.actions, chunk[:, :6], atol=1e-6)
    np.testing.assert_allclose(inference.gripper, np.clip(chunk[:, 6], 0, 1), atol=1e-6)
    tensors = backend.introspect(inference)
    assert tensors["token_logprobs"].shape == tensors["token_disagreement"].shape == (14,), "words frame the actions"
    np.testing.assert_allclose(tensors["features"], np.arange(17 * 32).reshape(17, 32).mean(0))


@pytest.mark.parametrize(
    "tokens",
    [
        [11, 13, 2],
        [*fast_words(13), 2],
        [*fast_words(15), 2],
        [*fast_words(7), 13, *fast_words(7), 2],
        [*fast_words(), *fast_words(6)],
    ],
    ids=["no action", "one less", "one more", "a word between", "no end"],
)
def test_what_is_no_chunk_never_leaves(
    folders: dict[str, Path], observation: Observation, monkeypatch: pytest.MonkeyPatch, tokens: list[int]
) -> None:
    backend: Any = load("", folders["pi0_fast"])
    scripted(backend, monkeypatch, *tokens)
    with pytest.raises(BackendError, match="no chunk"):
        act(backend, observation)


def test_a_word_among_openvlas_actions_never_leaves(
    folders: dict[str, Path], observation: Observation, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend: Any = load("", folders["openvla"])
    good = list(range(286, 300))
    for wrong in ([*good[:-1], 20], good[:-1]):
        scripted(backend, monkeypatch, *wrong)
        with pytest.raises(BackendError, match="no chunk"):
            act(backend, observation)


def test_the_prompt_is_the_manifests(folders: dict[str, Path], observation: Observation) -> None:
    backend: Any = load("", folders["pi0_fast"])
    asked = list[str]()
    backend._prompter = lambda text, images: asked.append(text)
    backend.reset(observation.instruction + " \n", 0)
    backend._prompt(observation)
    assert asked == ["<image> in: put the red cube state: 179 128 153 166 102 140 133 122 ;"]


def test_ids_are_appended_once(folders: dict[str, Path]) -> None:
    folder, text = folders["openvla"] / "member_0", "<image> in: put the red cube out:"
    plain, more = Prompter(folder)(text, [tiny.image()]), Prompter(folder, (4,))(text, [tiny.image()])
    assert more["input_ids"].tolist()[0] == [*plain["input_ids"].tolist()[0], 4]
    assert more["attention_mask"].shape == more["input_ids"].shape
    last = plain["input_ids"][0, -1].item()
    assert torch.equal(Prompter(folder, (last,))(text, [tiny.image()])["input_ids"], plain["input_ids"])


def test_a_checkpoints_own_habits_do_not_decide(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "member"
    shutil.copytree(folders["openvla"] / "member_0", folder)
    habits = {"do_sample": True, "temperature": 9.0, "repetition_penalty": 5.0, "suppress_tokens": [290, 291, 292]}
    (folder / "generation_config.json").write_text(json.dumps(habits))
    inputs = Prompter(folder)("<image> in: put the red cube out:", [tiny.image()])
    plain = Speaker(folders["openvla"] / "member_0", "cpu", slice(284, 300)).say(inputs, TOKENS)
    np.testing.assert_array_equal(Speaker(folder, "cpu", slice(284, 300)).say(inputs, TOKENS).tokens, plain.tokens)


def test_code_in_a_checkpoint_runs_only_when_its_digest_is_given(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    shutil.copytree(folders["openvla"], folder)
    for member in (folder / "member_0", folder / "member_1"):
        path = member / "config.json"
        config = json.loads(path.read_text()) | {"auto_map": {"AutoModelForVision2Seq": "modeling_own.Own"}}
        path.write_text(json.dumps(config))
        (member / "modeling_own.py").write_text(
            "from transformers import LlavaForConditionalGeneration\n\n\n"
            "class Own(LlavaForConditionalGeneration):\n    pass\n"
        )
    replace(tiny.MANIFEST, files=tiny.listing(folder)).save(folder)
    digest = code_digest(folder / "member_0")
    for given in ({}, {"remote_code": "0" * 64}):
        with pytest.raises(InputError, match=digest):
            load("", folder, **given)
    backend: Any = load("", folder, remote_code=digest)
    assert type(backend._members[0]._model).__name__ == "Own"


@pytest.mark.parametrize("change", ["vocabulary", "weights", "processor", "cameras"])
def test_checkpoints_that_cannot_be_run_are_refused(folders: dict[str, Path], tmp_path: Path, change: str) -> None:
    folder = tmp_path / "policy"
    shutil.copytree(folders["openvla"], folder)
    lost = {"weights": "member_1/model.safetensors", "processor": "member_0/*processor_config.json"}
    for path in folder.glob(lost.get(change, "nothing")):
        path.unlink()
    fields: dict[str, Any] = {
        "vocabulary": {"vocabulary": {**tiny.BINS, "size": 400}},
        "cameras": {"cameras": ("agentview", "wrist")},
    }.get(change, {})
    replace(tiny.MANIFEST, **fields, files=tiny.listing(folder)).save(folder)
    with pytest.raises(InputError, match=r"member_|manifest"):
        load("", folder)


def test_it_is_served_like_any_other(folders: dict[str, Path], observation: Observation) -> None:
    from vla_policy.openpi_wire import ACTIONS, GRIPPER, IMAGE, PROMPT, STATE, WRIST_IMAGE
    from vla_server.served import open_policy

    served = open_policy("transformers_ar", folders["openvla"])
    images = {IMAGE: observation.images["agentview"], WRIST_IMAGE: observation.images["wrist"]}
    state = np.array([0.4, 0.0, 0.2, 0.3, -0.2, 0.1, 0.04, -0.04])
    served.reset(None)
    decision = served.act({**images, STATE: state, PROMPT: observation.instruction})
    backend: Any = load("", folders["openvla"])
    inference = act(backend, observation)
    np.testing.assert_array_equal(decision.reply[ACTIONS], inference.actions)
    np.testing.assert_array_equal(decision.reply[GRIPPER], inference.gripper)
    expected = backend.introspect(inference)
    for name, value in served.introspect(decision.memory, served.tensors).items():
        np.testing.assert_allclose(value, expected[name], atol=CLOSE, err_msg=name)

"""What a result rests on and its file does not show: it is said wherever the result is."""

from __future__ import annotations

from mmusim.config.experiment import Experiment
from mmusim.config.plausible import implausible
from mmusim.config.setting import Setting
from mmusim.config.vm_and_host import DEFAULT_PROFILE
from mmusim.policies import ASSUMED, policy_named


def rests_on(setting: Setting) -> list[str]:
    """Say which defaults a setting takes, and what of its host is beyond what is plausible.

    Returns
    -------
    list of str
        A sentence for each, without its full stop.
    """
    return [*defaults_taken(setting.experiment), *implausible(setting)]


def defaults_taken(experiment: Experiment) -> list[str]:
    """Say which kernel and which host an experiment takes because it names none.

    A kernel is no default where each policy names its own.

    Returns
    -------
    list of str
        A sentence for each default, without its full stop.
    """
    said = []
    chosen = map(policy_named, experiment.policies.all)
    if "kernel" not in experiment.vm.model_fields_set and not all(p.kernel for p in chosen):
        said.append(ASSUMED)
    if "profile" not in experiment.host.model_fields_set:
        said.append(f"{DEFAULT_PROFILE} is the default, host.profile is not given")
    return said

"""A setting as a file that leaves nothing to defaults."""

from __future__ import annotations

from typing import Any

from mmusim.config.host import Cost
from mmusim.config.settings import Setting
from mmusim.vocabulary.host_costs import SHARING_COSTS
from mmusim.vocabulary.machine_costs import MACHINE_COSTS


def resolved(setting: Setting) -> dict[str, Any]:
    """Return a setting as plain TOML data with all defaults and costs."""
    data = setting.experiment.model_dump(mode="json", by_alias=True, exclude_none=True)
    data["host"]["costs"] = {
        name: Cost.model_dump(cost, mode="json", exclude_none=True)["value"]
        for name, cost in setting.profile.costs.items()
        if (setting.machine is not None or name not in MACHINE_COSTS)
        and (setting.experiment.host.emulatorpin is not None or name not in SHARING_COSTS)
    } | data["host"]["costs"]
    if setting.machine is not None:
        data["host"]["machine"] = setting.machine.model_dump(mode="json", exclude_none=True)
    return data

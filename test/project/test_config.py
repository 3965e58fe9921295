"""The parameter files name what the nodes declare: rclpy passes over a misspelt name in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MODULES = {
    "policy_node": "policy_node.node",
    "monitor_node": "monitor_node.node",
    "supervisor_node": "supervisor_node.node",
    "deadman_node": "supervisor_node.deadman.node",
    "sim_node": "sim_node.driver",
    "teleop_node": "teleop_node.node",
    "scripted_teleop_node": "sim_node.teleop.driver",
}
CHANGEABLE = {("supervisor_node", "mode"), ("policy_node", "seed"), ("scripted_teleop_node", "auto")}
"""Parameters that may be set while the node runs."""
OF_EVERY_NODE = {"use_sim_time", "start_type_description_service"}


def files() -> dict[str, dict[str, Any]]:
    """Node name to its parameters, over all files of config/."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((ROOT / "config").glob("*.yaml")):
        for name, content in yaml.safe_load(path.read_text(encoding="utf-8"))["/**"].items():
            assert name not in found, f"{name} stands in two files"
            found[name] = content["ros__parameters"]
    return found


def test_every_node_has_its_parameters_in_one_file() -> None:
    assert files().keys() == MODULES.keys()


def test_every_parameter_is_explained() -> None:
    for path in (ROOT / "config").rglob("*.yaml"):
        for line in path.read_text(encoding="utf-8").splitlines():
            bare = line.split("#")[0].rstrip()
            assert not bare or bare.endswith(":") or "#" in line or path.parent.name == "arms", f"{path.name}: {line}"


@pytest.mark.ros
@pytest.mark.parametrize(
    ("module", "name"), [("supervisor_node.node", "joints_timeout"), ("supervisor_node.deadman.node", "timeout")]
)
def test_a_number_out_of_range_is_one_line(spawn: Any, module: str, name: str) -> None:
    refused = spawn(module, params={name: 0.0})
    assert refused.process.wait(30) == 2
    assert name in refused.text() and len(refused.text().splitlines()) == 1


@pytest.mark.ros
def test_the_files_name_what_the_nodes_declare_and_describe(ros: Any, spawn: Any) -> None:
    from rcl_interfaces.msg import ParameterType
    from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters
    from rclpy.parameter import parameter_value_to_python

    expected = files()
    kinds = {
        bool: ParameterType.PARAMETER_BOOL,
        int: ParameterType.PARAMETER_INTEGER,
        float: ParameterType.PARAMETER_DOUBLE,
        str: ParameterType.PARAMETER_STRING,
        list: ParameterType.PARAMETER_STRING_ARRAY,
    }
    for module in MODULES.values():
        spawn(module, params={"autostart": False})
    for name, parameters in expected.items():
        answer = ros.call(ListParameters, f"/{name}/list_parameters", ListParameters.Request(), timeout=30.0)
        declared = {one for one in answer.result.names if not one.startswith("qos_overrides")} - OF_EVERY_NODE
        assert set(parameters) - declared == set(), f"{name} does not declare these"
        assert declared - set(parameters) <= {"task"}, f"{name} declares these, and config/ does not mention them"
        names = list(parameters)
        values = ros.call(GetParameters, f"/{name}/get_parameters", GetParameters.Request(names=names)).values
        assert {n: v.type for n, v in zip(names, values, strict=True)} == {n: kinds[type(parameters[n])] for n in names}
        found_values = {n: parameter_value_to_python(v) for n, v in zip(names, values, strict=True)}
        expected_values = {n: False if n == "autostart" else value for n, value in parameters.items()}
        assert found_values == expected_values, f"{name}: config/ says what holds without it"
        request = DescribeParameters.Request(names=sorted(declared))
        for found in ros.call(DescribeParameters, f"/{name}/describe_parameters", request).descriptors:
            where = f"{name}: {found.name}"
            assert found.description, where
            assert bool(found.integer_range) == (found.type == ParameterType.PARAMETER_INTEGER), where
            assert bool(found.floating_point_range) == (found.type == ParameterType.PARAMETER_DOUBLE), where
            assert found.read_only == ((name, found.name) not in CHANGEABLE), where

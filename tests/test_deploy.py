"""The files of the cluster example: they agree with each other, and with the tools that read them."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import openai
import pytest
import yaml
from support.balancer import CONFIG, config_on_loopback, needs_haproxy

from litellm_image_analysis import ImageAnalysisConfig

ROOT = Path(__file__).parents[1]
CLUSTER = ROOT / "examples" / "cluster"
PAGE = (ROOT / "docs" / "deploy.md").read_text()
HAPROXY = CONFIG.read_text()
PROXIES = ["proxy-1", "proxy-2"]
GRACE = "GRACEFUL_SHUTDOWN_TIMEOUT"
TEARDOWN_SECONDS = 15
"""Seconds that LiteLLM may need after the last request, for its jobs and its database."""


def loaded(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text())


COMPOSE: dict[str, Any] = loaded("compose.yaml")
VALUES: dict[str, Any] = loaded("helm-values.yaml")
MANIFESTS: dict[str, Any] = {
    manifest["kind"]: manifest for manifest in yaml.safe_load_all((CLUSTER / "kubernetes.yaml").read_text())
}
DEPLOYMENT = MANIFESTS["Deployment"]["spec"]
POD = DEPLOYMENT["template"]["spec"]
(CONTAINER,) = POD["containers"]
CONFIGS: dict[str, dict[str, Any]] = {
    "compose": loaded("proxy_config.yaml"),
    "kubernetes": yaml.safe_load(MANIFESTS["ConfigMap"]["data"]["config.yaml"]),
    "helm": VALUES["proxy_config"],
}
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def seconds(value: str) -> int:
    assert value.endswith("s")
    return int(value.removesuffix("s"))


def longest_request(config: dict[str, Any]) -> float:
    """Seconds until a request has its first byte: its vision calls, and then each attempt of its own call."""
    settings = ImageAnalysisConfig.from_settings(config["callback_settings"]["image_analysis"])
    attempts = 1 + int(config["router_settings"].get("num_retries", openai.DEFAULT_MAX_RETRIES))
    return settings.timeout_seconds + attempts * float(config["litellm_settings"]["request_timeout"])


@each_config
def test_the_plugin_accepts_its_settings_and_shares_its_cache(config: dict[str, Any]) -> None:
    settings = ImageAnalysisConfig.from_settings(config["callback_settings"]["image_analysis"])
    assert "litellm_image_analysis.image_analysis" in config["litellm_settings"]["callbacks"]
    assert settings.vision_model in [model["model_name"] for model in config["model_list"]]
    assert settings.cache.backend == "redis"
    assert config["general_settings"]["coordination_redis"]["url"] == "os.environ/REDIS_URL"


def test_the_configs_differ_only_where_their_place_does() -> None:
    compose, kubernetes, helm = copy.deepcopy([*CONFIGS.values()])
    assert compose["litellm_settings"].pop("require_auth_for_metrics_endpoint") is False
    assert compose["general_settings"].pop("enable_drain_endpoint") is True
    assert compose == kubernetes
    assert helm["general_settings"].pop("master_key") == "os.environ/PROXY_MASTER_KEY"
    assert kubernetes["general_settings"].pop("master_key") == "os.environ/LITELLM_MASTER_KEY"
    assert helm == kubernetes


@pytest.mark.parametrize("name", PROXIES)
def test_compose_gives_each_proxy_what_its_config_reads(name: str) -> None:
    proxy = COMPOSE["services"][name]
    read = set(re.findall(r"os\.environ/(\w+)", (CLUSTER / "proxy_config.yaml").read_text()))
    assert read | {"LITELLM_SALT_KEY", "DATABASE_URL", "DRAIN_ENDPOINT_TOKEN", GRACE} <= proxy["environment"].keys()
    assert longest_request(CONFIGS["compose"]) <= int(proxy["environment"][GRACE])
    assert int(proxy["environment"][GRACE]) + TEARDOWN_SECONDS <= seconds(proxy["stop_grace_period"])


def commands_of_compose() -> str:
    """The commands in the first comment of the compose file."""
    head = (CLUSTER / "compose.yaml").read_text().partition("\nname:")[0]
    return "\n".join(re.findall(r"^#   (.*)$", head, re.MULTILINE))


@needs_openssl
def test_the_secrets_of_compose_are_written_once(tmp_path: Path) -> None:
    place = tmp_path / "examples" / "cluster" / ".env"
    place.parent.mkdir(parents=True)
    write = commands_of_compose().partition("docker compose")[0]
    assert subprocess.run(["sh", "-c", write], cwd=tmp_path, check=False).returncode == 0
    written = place.read_text()
    secrets = dict(line.split("=", 1) for line in written.splitlines())
    assert secrets.keys() == set(re.findall(r"\$\{(\w+):\?\}", (CLUSTER / "compose.yaml").read_text()))
    assert len({*secrets.values()} - {"..."}) == 4
    assert place.stat().st_mode & 0o777 == 0o600
    assert subprocess.run(["sh", "-c", write], cwd=tmp_path, capture_output=True, check=False).returncode != 0
    assert place.read_text() == written


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a checkout")
@pytest.mark.parametrize("path", ["examples/cluster/.env", "wheels/a.whl"])
def test_git_ignores_what_the_commands_write(path: str) -> None:
    assert subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, check=False).returncode == 0


def test_what_compose_mounts_exists() -> None:
    mounts = [mount for service in COMPOSE["services"].values() for mount in service.get("volumes", [])]
    files = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert files
    assert [file for file in files if not (CLUSTER / file).exists()] == []


def test_the_secret_has_what_the_manifests_read() -> None:
    (command,) = re.findall(r"kubectl create secret generic litellm .*?\n```", PAGE, re.DOTALL)
    given = set(re.findall(r"--from-literal=(\w+)", command))
    read = {name for config in CONFIGS.values() for name in re.findall(r"os\.environ/(\w+)", yaml.safe_dump(config))}
    assert given == (read - {"PROXY_MASTER_KEY"}) | {"LITELLM_MASTER_KEY", "LITELLM_SALT_KEY", "DATABASE_URL"}
    assert CONTAINER["envFrom"] == [{"secretRef": {"name": "litellm"}}]


@pytest.mark.parametrize("container", [*POD["initContainers"], *POD["containers"]], ids=lambda each: each["name"])
def test_volumes_of_the_pod_exist(container: dict[str, Any]) -> None:
    assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in POD["volumes"]}


def test_config_maps_of_the_pod_exist() -> None:
    named = {volume["configMap"]["name"] for volume in POD["volumes"] if "configMap" in volume}
    made = set(re.findall(r"kubectl create configmap (\S+)", PAGE))
    assert named == made | {MANIFESTS["ConfigMap"]["metadata"]["name"]}


def unpack(wheels: Path, plugin: Path) -> subprocess.CompletedProcess[str]:
    """Run the command of the init container with other folders."""
    shell, option, script = POD["initContainers"][0]["command"]
    script = script.replace("/wheels", str(wheels)).replace("/plugin", str(plugin))
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    return subprocess.run([shell, option, script], env=env, capture_output=True, text=True, check=False)


def write_wheel(folder: Path, name: str, version: str) -> None:
    with ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", version)


def test_the_init_container_unpacks_all_wheels(tmp_path: Path) -> None:
    wheels, plugin = tmp_path / "some-wheels", tmp_path / "the-folder"
    wheels.mkdir()
    plugin.mkdir()
    assert unpack(wheels, plugin).returncode != 0
    write_wheel(wheels, "litellm_image_analysis", "0.10.0")
    write_wheel(wheels, "cachetools", "5.0")
    assert unpack(wheels, plugin).returncode == 0
    assert {path.name for path in plugin.iterdir()} == {"litellm_image_analysis.py", "cachetools.py"}


def test_the_init_container_refuses_two_versions(tmp_path: Path) -> None:
    wheels, plugin = tmp_path / "some-wheels", tmp_path / "the-folder"
    wheels.mkdir()
    plugin.mkdir()
    write_wheel(wheels, "litellm_image_analysis", "0.10.0")
    write_wheel(wheels, "litellm_image_analysis", "0.9.0")
    refused = unpack(wheels, plugin)
    assert (refused.returncode, [*plugin.iterdir()]) == (1, [])
    assert "several versions" in refused.stderr


@pytest.mark.parametrize("container", [*POD["initContainers"], *POD["containers"]], ids=lambda each: each["name"])
def test_a_quota_and_a_policy_accept_the_containers(container: dict[str, Any]) -> None:
    assert container["resources"]["requests"].keys() == container["resources"]["limits"].keys() == {"cpu", "memory"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert POD["automountServiceAccountToken"] is False


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_the_page_s_command_makes_a_config_map_to_replace(tmp_path: Path) -> None:
    (command,) = re.findall(r"^(kubectl create configmap .*) \| kubectl replace -f -$", PAGE, re.MULTILINE)
    (tmp_path / "wheels").mkdir()
    write_wheel(tmp_path / "wheels", "litellm_image_analysis", "0.10.0")
    made = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=True)
    config_map = yaml.safe_load(made.stdout)
    assert config_map["metadata"]["name"] in re.findall(r"kubectl create configmap (\S+)", PAGE)
    assert [*config_map["binaryData"]] == ["litellm_image_analysis-0.10.0-py3-none-any.whl"]


def test_each_build_of_wheels_begins_with_an_empty_folder() -> None:
    builds = re.findall(r"^.*pip wheel.*$", PAGE, re.MULTILINE)
    assert builds
    assert [line for line in builds if not line.startswith("rm -rf wheels && ")] == []


def test_constraints_do_not_name_the_plugin() -> None:
    (options,) = re.findall(r"^pip freeze (.*) > before.txt", PAGE, re.MULTILINE)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "freeze", *options.split()]
    frozen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "litellm==" in frozen
    assert "image-analysis" not in frozen.replace("_", "-")


def test_the_image_is_built_before_the_host_is_drained() -> None:
    commands = PAGE.partition("With the compose file, build")[2].partition("```bash\n")[2].partition("```")[0]
    steps = re.findall(r"compose.yaml (build|exec|up)|^(sleep) \d+", commands, re.MULTILINE)
    assert ["".join(step) for step in steps] == ["build", "exec", "sleep", "up"]
    assert "--build" not in commands


def test_labels_select_the_pods() -> None:
    labels = DEPLOYMENT["template"]["metadata"]["labels"]
    assert DEPLOYMENT["selector"]["matchLabels"] == labels
    assert MANIFESTS["Service"]["spec"]["selector"] == labels
    assert MANIFESTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels


def test_kubernetes_waits_for_the_longest_request() -> None:
    env = {variable["name"]: variable["value"] for variable in CONTAINER["env"]}
    for grace, lifecycle, kill in (
        (int(env[GRACE]), CONTAINER["lifecycle"], POD["terminationGracePeriodSeconds"]),
        (int(VALUES["envVars"][GRACE]), VALUES["lifecycle"], VALUES["terminationGracePeriodSeconds"]),
    ):
        assert longest_request(CONFIGS["kubernetes"]) <= grace
        assert lifecycle["preStop"]["sleep"]["seconds"] + grace + TEARDOWN_SECONDS <= kill


def test_all_files_have_the_same_litellm() -> None:
    texts = [(CLUSTER / name).read_text() for name in ("Dockerfile", "kubernetes.yaml")]
    versions = {version for text in texts for version in re.findall(r"ghcr\.io/berriai/litellm:(\S+)", text)}
    assert versions == {VALUES["image"]["tag"]}


def test_the_balancer_and_prometheus_know_the_proxies() -> None:
    targets = [f"{name}:4000" for name in PROXIES]
    assert re.findall(r"^    server \S+ (\S+)$", HAPROXY, re.MULTILINE) == targets * 2
    assert loaded("prometheus.yml")["scrape_configs"][0]["static_configs"] == [{"targets": targets}]
    assert {*PROXIES, "haproxy", "redis", "postgres", "prometheus", "grafana"} == COMPOSE["services"].keys()


def test_grafana_reads_that_prometheus() -> None:
    assert "prometheus" in COMPOSE["services"]
    assert [source["url"] for source in loaded("grafana/datasources.yaml")["datasources"]] == ["http://prometheus:9090"]


def test_the_page_has_the_times_of_the_files() -> None:
    table = re.findall(r"^\| `?([^|`]+)`?[^|]* \| (\d+) \|", PAGE.partition("## Times")[2], re.MULTILINE)
    config, proxy = CONFIGS["compose"], COMPOSE["services"]["proxy-1"]
    (timeout_server,) = re.findall(r"timeout server (\d+)s", HAPROXY)
    assert [int(value) for _, value in table] == [
        config["callback_settings"]["image_analysis"]["timeout_seconds"],
        config["litellm_settings"]["request_timeout"],
        config["router_settings"]["num_retries"],
        int(proxy["environment"][GRACE]),
        int(timeout_server),
        seconds(proxy["stop_grace_period"]),
        POD["terminationGracePeriodSeconds"],
    ]


def test_the_balancer_waits_for_the_longest_request() -> None:
    (server,) = re.findall(r"timeout server (\S+)", HAPROXY)
    assert longest_request(CONFIGS["compose"]) < seconds(server)


def slowest_removal(backend: str) -> int:
    """Seconds until HAProxy takes a draining host out of a backend, if each check takes as long as it may."""
    section = HAPROXY.partition(f"backend {backend}\n")[2].partition("\n\n")[0]
    (check,) = re.findall(r"timeout check (\d+)s", HAPROXY)
    (interval,) = re.findall(r"check inter (\d+)s", HAPROXY)
    fall = re.findall(r"fall (\d+)", section) or re.findall(r"default-server check .* fall (\d+)", HAPROXY)
    return int(check) + int(fall[0]) * (int(interval) + int(check))  # one check may have begun before


def test_a_drained_host_stops_after_the_balancer_has_noticed() -> None:
    removals = [slowest_removal(backend) for backend in ("ready", "alive")]
    text = PAGE.partition("## Stop a host")[2]
    assert removals == [int(seconds) for seconds in re.findall(r"`(?:ready|alive)`[^`]*at most (\d+) seconds", text)]
    (sleep,) = re.findall(r"^sleep (\d+)$", text, re.MULTILINE)
    assert max(removals) <= int(sleep)


@needs_haproxy
def test_haproxy_accepts_its_configuration(tmp_path: Path) -> None:
    config = config_on_loopback([1, 2], 3, 4, tmp_path)
    checked = subprocess.run(["haproxy", "-c", "-f", str(config)], capture_output=True, text=True, check=False)
    assert (checked.returncode, "WARNING" in checked.stderr) == (0, False), checked.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Prometheus: apt-get install prometheus")
def test_prometheus_accepts_its_configuration() -> None:
    command = ["promtool", "check", "config", str(CLUSTER / "prometheus.yml")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr

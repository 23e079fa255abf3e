"""Coding agents from npm: their installation, settings without telemetry, and commands."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CACHE = Path(__file__).parents[2] / ".venv" / "clients"


@dataclass(frozen=True)
class Place:
    """The folder of a client, and the address of its server."""

    home: Path
    work: Path
    url: str
    key: str
    model: str


@dataclass(frozen=True)
class Client:
    """A coding agent.

    Attributes:
        package: its npm package, with its version.
        program: the program among the installed files. The first match is taken.
        memory: the file with a project's instructions, which it sends with its requests.
        settings: returns the environment, and writes the client's configuration.
        command: returns the words behind the program, for a prompt and whether the session is resumed.
    """

    package: str
    program: str
    memory: str
    settings: Callable[[Place], dict[str, str]]
    command: Callable[[Place, str, bool], list[str]]

    def installed(self) -> Path:
        """Return the program. Raises ``RuntimeError`` with a reason if it cannot be installed.

        Scripts of the packages do not run, because they would download more.
        """
        npm = shutil.which("npm")
        if npm is None or shutil.which("node") is None:
            raise RuntimeError("npm or node is not installed")
        folder = CACHE / self.package.replace("/", "+")
        if not (found := sorted(map(str, folder.glob(f"node_modules/{self.program}")))):
            options = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--no-update-notifier"]
            command = [npm, "install", "--prefix", str(folder), *options, self.package]
            folder.mkdir(parents=True, exist_ok=True)
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if not (found := sorted(map(str, folder.glob(f"node_modules/{self.program}")))):
                raise RuntimeError(f"{self.package} cannot be installed: {done.stderr[-500:] or platform.machine()}")
        return Path(found[0])

    def run(self, place: Place, prompt: str, dead_end: str, *, resumed: bool) -> subprocess.CompletedProcess[str]:
        """Run one turn with a separate home directory, and with the dead end as HTTP proxy."""
        names = [name for scheme in ("HTTP", "HTTPS", "ALL") for name in (f"{scheme}_PROXY", f"{scheme.lower()}_proxy")]
        env = {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            **dict.fromkeys(names, dead_end),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
            "HOME": str(place.home),
            "TMPDIR": str(place.home),
            "TERM": "dumb",
            "NO_COLOR": "1",
            "CI": "1",
            **self.settings(place),
        }
        command = [str(self.installed()), *self.command(place, prompt, resumed)]
        if "--acp" in command:
            return _run_acp(command, place, env, prompt)
        return subprocess.run(
            command, cwd=place.work, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )


def _run_acp(command: list[str], place: Place, env: dict[str, str], prompt: str) -> subprocess.CompletedProcess[str]:
    """Resume the session over the Agent Client Protocol, as editors do: JSON-RPC in lines."""
    session = {"sessionId": _cline_session(place)}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("initialize", {"protocolVersion": 1, "clientCapabilities": {}}),
        ("session/load", {**session, "cwd": str(place.work), "mcpServers": []}),
        ("session/set_model", {**session, "modelId": place.model}),
        ("session/prompt", {**session, "prompt": [{"type": "text", "text": prompt}]}),
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=place.work, env=env, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin
        assert process.stdout
        said = ""

        def send(**words: Any) -> None:
            print(json.dumps({"jsonrpc": "2.0", **words}), file=process.stdin, flush=True)

        for number, (method, params) in enumerate(calls):
            send(id=number, method=method, params=params)
            for line in process.stdout:
                message = json.loads(line) if line.startswith("{") else {}
                if message.get("method") == "session/update" and number == len(calls) - 1:
                    update = message["params"]["update"]
                    is_text = update["sessionUpdate"] == "agent_message_chunk"
                    said += update["content"].get("text", "") if is_text else ""
                elif message.get("method") == "session/request_permission":
                    option = message["params"]["options"][0]["optionId"]
                    send(id=message["id"], result={"outcome": {"outcome": "selected", "optionId": option}})
                elif message.get("id") == number:
                    said += json.dumps(message["error"]) if "error" in message else ""
                    break
        process.stdin.close()
        return subprocess.CompletedProcess(command, process.wait(), said, "")


def _claude_code(place: Place) -> dict[str, str]:
    models = ("ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL", "ANTHROPIC_SMALL_FAST_MODEL")
    return {
        "ANTHROPIC_BASE_URL": place.url,
        "ANTHROPIC_AUTH_TOKEN": place.key,
        **dict.fromkeys(models, place.model),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_AUTOUPDATER": "1",
    }


def _claude_code_command(place: Place, prompt: str, resumed: bool) -> list[str]:
    return ["-p", prompt, "--allowedTools", "Read", *(["--continue"] if resumed else [])]


def _codex(place: Place) -> dict[str, str]:
    folder = place.home / ".codex"
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text(f"""\
model = "{place.model}"
model_provider = "gateway"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false
web_search = "disabled"
analytics.enabled = false
feedback.enabled = false
otel.exporter = "none"
otel.metrics_exporter = "none"
features.plugins = false
features.remote_plugin = false
features.apps = false

[model_providers.gateway]
name = "gateway"
base_url = "{place.url}/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"
""")
    return {"CODEX_HOME": str(folder), "GATEWAY_KEY": place.key}


def _codex_command(place: Place, prompt: str, resumed: bool) -> list[str]:
    return ["exec", *(["resume", "--last"] if resumed else []), "--skip-git-repo-check", prompt]


def _gemini_cli(place: Place) -> dict[str, str]:
    folder = place.home / ".gemini"
    folder.mkdir(exist_ok=True)
    settings = {
        "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "security": {"auth": {"selectedType": "gemini-api-key"}},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    return {
        "GOOGLE_GEMINI_BASE_URL": place.url,
        "GEMINI_API_KEY": place.key,
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
    }


def _gemini_cli_command(place: Place, prompt: str, resumed: bool) -> list[str]:
    return ["-m", place.model, *(["--resume", "latest"] if resumed else []), "-p", prompt]


def _opencode(place: Place) -> dict[str, str]:
    model = {
        "name": place.model,
        "attachment": True,
        "tool_call": True,
        "modalities": {"input": ["text", "image"], "output": ["text"]},
        "limit": {"context": 200000, "output": 8000},
    }
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{place.url}/v1", "apiKey": place.key},
        "models": {place.model: model},
    }
    settings = {
        "provider": {"gateway": provider},
        "model": f"gateway/{place.model}",
        "small_model": f"gateway/{place.model}",
        "autoupdate": False,
        "share": "disabled",
    }
    return {
        "OPENCODE_CONFIG_CONTENT": json.dumps(settings),
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        "NPM_CONFIG_OFFLINE": "true",  # otherwise it installs a package for plugins
    }


def _opencode_command(place: Place, prompt: str, resumed: bool) -> list[str]:
    return ["run", *(["--continue"] if resumed else []), prompt]


def _cline(place: Place) -> dict[str, str]:
    folder = place.home / ".cline" / "data" / "settings"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"provider": "litellm", "apiKey": place.key, "model": place.model, "baseUrl": f"{place.url}/v1"}
    provider = {"settings": settings, "updatedAt": "2026-01-01T00:00:00.000Z", "tokenSource": "manual"}
    providers = {"version": 1, "lastUsedProvider": "litellm", "modes": {}, "providers": {"litellm": provider}}
    (folder / "providers.json").write_text(json.dumps(providers))
    (folder / "global-settings.json").write_text(json.dumps({"telemetryOptOut": True, "autoUpdateEnabled": False}))
    return {
        "CLINE_API_KEY": place.key,
        "CLINE_PROVIDER": "litellm",
        "CLINE_NO_AUTO_UPDATE": "1",
        "DO_NOT_TRACK": "1",
        "IS_TEST": "true",  # otherwise it requests feature flags
        "CLINE_SESSION_BACKEND_MODE": "local",  # no daemon that stays after the end
    }


def _cline_session(place: Place) -> str:
    return next((place.home / ".cline" / "data" / "sessions").iterdir()).name


def _cline_command(place: Place, prompt: str, resumed: bool) -> list[str]:
    """With ``--id`` it needs a terminal, so a session is resumed over its protocol for editors."""
    return ["-P", "litellm", "-m", place.model, *(["--acp"] if resumed else [prompt])]


CLIENTS = {
    "claude-code": Client(
        "@anthropic-ai/claude-code@2.1.332",
        "@anthropic-ai/claude-code-*/claude",
        "CLAUDE.md",
        _claude_code,
        _claude_code_command,
    ),
    "codex": Client("@openai/codex@0.171.0", ".bin/codex", "AGENTS.md", _codex, _codex_command),
    "gemini-cli": Client("@google/gemini-cli@0.61.0", ".bin/gemini", "GEMINI.md", _gemini_cli, _gemini_cli_command),
    "cline": Client("cline@3.0.65", "@cline/cli-*/bin/cline", "AGENTS.md", _cline, _cline_command),
    "opencode": Client("opencode-ai@1.18.33", "opencode-*/bin/opencode", "AGENTS.md", _opencode, _opencode_command),
}

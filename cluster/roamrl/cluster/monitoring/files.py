"""The files that Prometheus and Grafana are started with, written for one session."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from roamrl.cluster.errors import ClusterError
from roamrl.cluster.monitoring.metrics_source import MetricsSource

PROMETHEUS_URL = "http://127.0.0.1:9090"
"""Where Grafana looks for Prometheus: the address at which it is told to listen."""

_DASHBOARD = "dashboard.json"
_TARGETS = "targets.json"


@dataclass(frozen=True)
class MonitoringFiles:
    """What was written.

    Attributes:
        folder: The folder, absolute.
        prometheus: Prometheus' configuration.
        provisioning: Folder of Grafana's data source and dashboard provider.
        dashboard: The dashboard.
    """

    folder: Path
    prometheus: Path
    provisioning: Path
    dashboard: Path

    @property
    def commands(self) -> tuple[str, str]:
        """The commands that start Prometheus and Grafana."""
        listen = PROMETHEUS_URL.removeprefix("http://")
        data = self.folder / "prometheus-data"
        return (
            f"prometheus --config.file={self.prometheus} --storage.tsdb.path={data} --web.listen-address={listen}",
            f"GF_PATHS_PROVISIONING={self.provisioning} grafana server --homepath /usr/share/grafana",
        )


def dashboard() -> dict[str, Any]:
    """Return the dashboard, in Grafana's JSON model."""
    found: dict[str, Any] = json.loads((files("roamrl.cluster.monitoring") / _DASHBOARD).read_text(encoding="utf-8"))
    return found


def write_monitoring(folder: Path, source: MetricsSource, scrape_s: int = 10) -> MonitoringFiles:
    """Write the files, over those of an earlier session.

    Args:
        folder: Where to.
        source: The session's metrics.
        scrape_s: Seconds between two scrapes; Ray's nodes gather what their processes count every 10 s.

    Raises:
        ClusterError: If the folder cannot be written.
    """
    place = folder.absolute()
    written = MonitoringFiles(
        place, place / "prometheus.yml", place / "grafana" / "provisioning", place / "grafana" / "dashboards"
    )
    discovery = source.discovery_file or place / _TARGETS
    texts = {
        written.prometheus: _yaml(_prometheus(discovery, scrape_s)),
        written.provisioning / "datasources" / "roamrl.yml": _yaml(_datasource(scrape_s)),
        written.provisioning / "dashboards" / "roamrl.yml": _yaml(_provider(written.dashboard)),
        written.dashboard / "roamrl.json": json.dumps(dashboard(), indent=1) + "\n",
    }
    if source.discovery_file is None:
        texts[discovery] = json.dumps([{"labels": {"job": "ray"}, "targets": list(source.targets)}]) + "\n"
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ClusterError(f"cannot write to {place}: {error.strerror}; name another folder with --out") from error
    return written


def _prometheus(discovery: Path, scrape_s: int) -> Mapping[str, Any]:
    return {
        "global": {"scrape_interval": f"{scrape_s}s", "scrape_timeout": f"{scrape_s}s"},
        "scrape_configs": [
            {"job_name": "ray", "file_sd_configs": [{"files": [str(discovery)], "refresh_interval": "10s"}]}
        ],
    }


def _datasource(scrape_s: int) -> Mapping[str, Any]:
    own = {
        "name": "Prometheus of RoamRL",
        "uid": "roamrl-prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": PROMETHEUS_URL,
        "isDefault": True,
        "jsonData": {"timeInterval": f"{scrape_s}s"},
    }
    return {"apiVersion": 1, "datasources": [own]}


def _provider(dashboards: Path) -> Mapping[str, Any]:
    own = {"name": "RoamRL", "folder": "RoamRL", "type": "file", "options": {"path": str(dashboards)}}
    return {"apiVersion": 1, "providers": [own]}


def _yaml(content: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(content), sort_keys=False))

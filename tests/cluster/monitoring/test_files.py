"""What is written for Prometheus and Grafana, read as they read it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from roamrl.cluster.errors import ClusterError
from roamrl.cluster.monitoring.files import PROMETHEUS_URL, dashboard, write_monitoring
from roamrl.cluster.monitoring.metrics_source import MetricsSource
from roamrl.platform.monitoring.metrics import METRICS

KEPT = MetricsSource(
    "10.0.0.1:6379", Path("/tmp/ray/session_1/prom_metrics_service_discovery.json"), ("10.0.0.1:7000",)
)
NOT_KEPT = MetricsSource("10.0.0.1:6379", None, ("10.0.0.1:7000", "10.0.0.2:7001"))
PANELS = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def scraped(config: Path) -> Path:
    """The one file by which a configuration finds its targets."""
    (job,) = yaml.safe_load(config.read_text())["scrape_configs"]
    (found,) = job["file_sd_configs"]
    (file,) = found["files"]
    return Path(file)


def test_prometheus_reads_the_file_that_ray_keeps(tmp_path: Path) -> None:
    written = write_monitoring(tmp_path, KEPT)
    assert scraped(written.prometheus) == KEPT.discovery_file
    assert not list(tmp_path.glob("*.json"))


def test_where_ray_keeps_none_the_nodes_of_now_are_written(tmp_path: Path) -> None:
    written = write_monitoring(tmp_path, NOT_KEPT)
    (group,) = json.loads(scraped(written.prometheus).read_text())
    assert group == {"labels": {"job": "ray"}, "targets": list(NOT_KEPT.targets)}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian's package prometheus)")
@pytest.mark.parametrize("source", [NOT_KEPT], ids=["not kept"])
def test_promtool_accepts_the_configuration(source: MetricsSource, tmp_path: Path) -> None:
    written = write_monitoring(tmp_path, source)
    done = subprocess.run(
        ["promtool", "check", "config", str(written.prometheus)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr


def test_grafana_finds_data_source_and_dashboard_where_it_looks(tmp_path: Path) -> None:
    written = write_monitoring(tmp_path, KEPT)
    (source,) = yaml.safe_load((written.provisioning / "datasources" / "roamrl.yml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", PROMETHEUS_URL)
    (provider,) = yaml.safe_load((written.provisioning / "dashboards" / "roamrl.yml").read_text())["providers"]
    (found,) = Path(provider["options"]["path"]).glob("*.json")
    assert json.loads(found.read_text()) == dashboard()
    prometheus, grafana = written.commands
    assert f"--config.file={written.prometheus}" in prometheus
    assert f"--web.listen-address={PROMETHEUS_URL.removeprefix('http://')}" in prometheus
    assert f"GF_PATHS_PROVISIONING={written.provisioning}" in grafana


def test_a_relative_folder_is_written_as_an_absolute_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert scraped(write_monitoring(Path("here"), NOT_KEPT).prometheus) == tmp_path / "here" / "targets.json"


def test_written_again_the_files_are_those_of_the_new_session(tmp_path: Path) -> None:
    write_monitoring(tmp_path, NOT_KEPT)
    assert scraped(write_monitoring(tmp_path, KEPT).prometheus) == KEPT.discovery_file


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError, match="--out"):
        write_monitoring(tmp_path / "file", KEPT)


def test_the_dashboard_has_the_form_that_grafana_imports() -> None:
    board = dashboard()
    assert board["schemaVersion"] >= 36 and board["uid"] and board["title"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    assert variables["study"]["datasource"]["uid"] == "${datasource}"
    for panel in PANELS:
        assert panel["type"] in ("timeseries", "stat") and panel["title"] and panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        references = [target["refId"] for target in panel["targets"]]
        assert references and len(set(references)) == len(references)
        assert all(target["expr"] and target["datasource"] == panel["datasource"] for target in panel["targets"])


def test_panels_fill_the_24_columns_without_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not taken & cells
        taken |= cells


def test_every_metric_is_shown_and_nothing_else_of_that_name() -> None:
    """The dashboard lies in a package that knows nothing of the one that records: names must not part."""
    shown = {
        name
        for panel in PANELS
        for target in panel["targets"]
        for name in re.findall(r"ray_roamrl_\w+", target["expr"])
    }
    serving = {"ray_roamrl_requests_total", "ray_roamrl_request_ms_bucket"}
    assert shown - serving == {metric.series for metric in METRICS}
    assert serving <= shown


def test_series_are_grouped_by_labels_they_have() -> None:
    labels = {metric.series: set(metric.labels) for metric in METRICS}
    for panel in PANELS:
        for target in panel["targets"]:
            for name in re.findall(r"ray_roamrl_\w+", target["expr"]):
                by = re.search(r"by \(([\w, ]+)\)", target["expr"])
                asked = set(by[1].split(", ")) if by else set()
                asked |= set(re.findall(r"(\w+)=~?\"", target["expr"]))
                if name in labels:
                    assert asked <= labels[name], target["expr"]
                    assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels[name]

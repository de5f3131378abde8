"""Rebuild the published splits of slicing-v1 (minutes): ``python scripts/make_splits.py``."""

from pathlib import Path

from roamrl.envs.slicing import SLICING, splits

if __name__ == "__main__":
    for variant, drawn in splits.write_published(SLICING, Path(splits.__file__).parent).items():
        for name, entry in drawn.items():
            print(
                f"{variant:12} {name:16} {len(entry.split):3} tasks, {entry.omitted} left out, {entry.split.hash[:12]}"
            )

"""Figures of a report, drawn by matplotlib without global state; each is one SVG and one PNG."""

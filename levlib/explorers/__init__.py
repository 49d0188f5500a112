"""Figures with sliders, alive in a kernel and in a static page. This wing uses no other one."""

"""Options of the template teacher."""

from __future__ import annotations

from lasar_kit.spec import TeacherConfig


class TemplateTeacherConfig(TeacherConfig):
    """No options: a history alone decides the text."""

"""The line at the top of the window: what was said last, and what to do next."""

from slicer.i18n import tr as _

__all__ = ["nextStep"]


def nextStep(window) -> str:
    """What the user reads first."""
    step = _step(window)
    return f"{window.message}\n{step}" if window.message else step


def _step(window) -> str:
    connection, reading = window.connection, window.reading
    running = window.running()
    if running is not None and running is not reading:
        run = running.progress
        text = _("{name} is being segmented, {done} of {total}; go on looking at this one.")
        return text.format(name=running.cine.name, done=run.done, total=run.total)
    if running is not None:
        return _("Masks appear as they come. You can go on looking, or cancel.")
    if connection.state == "connecting":
        return _("Asking the server ...")
    if connection.state == "lost":
        return _("Nothing is lost: see the server, press Connect, then go on where it stopped.")
    if connection.state == "none":
        return _("1. Give the address of your AngioSeg server, and press Connect.")
    if reading is None:
        return _("2. Choose a cine in the list, load a file, or take the sample cine.")
    states = reading.states.all()
    if set(states) == {"none"}:
        return _("3. Press Whole cine: the vessels of every frame, from the one on screen outwards.")
    if reading.left:
        return _("Press Go on to segment the {count} frames that are left.").format(count=len(reading.left))
    unsent = states.count("accepted")
    here = states[reading.cine.currentFrame]
    if here == "corrected":
        return _("5. Accept this frame when its vessels are right; carry the correction to its neighbours if you like.")
    if unsent:
        return _("6. Press Submit to send {count} accepted frames, or accept more.").format(count=unsent)
    if here == "none":
        return _("This frame has no mask: segment it, or start with an empty one.")
    return _("4. Go to a key frame, correct its mask with Paint and Erase where it is wrong, and accept it.")

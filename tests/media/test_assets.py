"""av.asset: files of the operators' that filters read, and no others."""

import facts
from conftest import Luma

# Every colour becomes green.
GREEN = "LUT_3D_SIZE 2\n" + "0.0 1.0 0.0\n" * 8


def with_script(luma, body):
    scripts, assets = luma.folder / "scripts", luma.folder / "assets"
    scripts.mkdir()
    assets.mkdir()
    (assets / "green.cube").write_text(GREEN)
    (assets / "broken.cube").write_text("LUT_3D_SIZE x\n")
    (luma.folder / "secret.cube").write_text(GREEN)
    (scripts / "own.lua").write_text('return { summary = "s", inputs = 1, options = {}, '
                                     "run = function(job)\n" + body + "\nend }")
    other = Luma(luma.program, luma.folder)
    other.environment.update(LUMA_SCRIPTS=str(scripts), LUMA_ASSETS=str(assets))
    return other


def test_lut(luma, clips):
    own = with_script(luma, """
      local green = av.asset("green.cube")
      job:note(tostring(green))
      job:output { format = "mkv", job.input.video:lut3d(green):encode { codec = "ffv1" } }""")
    outcome = own.ok("own", clips["plain.mp4"])
    assert outcome.notes == ["asset:green.cube"]
    pixel = facts.ffmpeg("-i", outcome.path, "-frames:v", "1", "-pix_fmt", "rgb24", "-f",
                         "rawvideo", "-")[:3]
    assert pixel[0] < 10 and pixel[1] > 245 and pixel[2] < 10
    plan = own.call("explain", "own", clips["plain.mp4"]).stdout.decode()
    assert "file=asset:green.cube" in plan and str(luma.folder) not in plan


def test_refused(luma, clips):
    own = with_script(luma, "")
    script = luma.folder / "scripts" / "own.lua"
    for call, words in (('lut3d(av.asset("../secret.cube"))', "asset"),
                        ('lut3d(av.asset("missing.cube"))', "missing.cube"),
                        ('lut3d(av.asset("broken.cube"))', "lut3d"),
                        ('lut3d("green.cube")', "takes an asset"),
                        (f'lut3d("{luma.folder}/secret.cube")', "takes an asset"),
                        ('metadata{mode="print", file=av.asset("green.cube")}', "refused"),
                        ('drawtext{text="x", textfile=av.asset("green.cube")}', "refused")):
        script.write_text('return { summary = "s", inputs = 1, options = {}, run = function(job)\n'
                          f"local v = job.input.video:{call}\nend }}")
        outcome = own.fails("script_error", "own", clips["plain.mp4"])
        assert words in outcome.error["message"], (call, outcome.error)
        assert str(luma.folder / "assets") not in outcome.error["message"]

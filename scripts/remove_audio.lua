local tracks = require "lib.tracks"

return {
  summary = "Remove the sound; everything else is copied bit for bit",
  inputs = 1,
  options = {},
  examples = { {} },

  run = function(job)
    local source = job.input
    if not source.video then
      job:fail("no_such_stream", "the file has no video")
    end
    local format = source.family
    local output = tracks.all(job, source, format, {
      audio = function() return false end,
    })
    if source.audio then
      job:note(#source.audios > 1 and ("%d audio tracks removed"):format(#source.audios)
        or "audio removed")
    else
      job:note("the file has no audio: copied as it is")
    end
    job:note("everything else copied")
    output.format = format
    job:output(output)
  end,
}

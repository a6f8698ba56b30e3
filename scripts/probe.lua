return {
  summary = "Tell all that is known of a file, without decoding it",
  inputs = 1,
  options = {},
  examples = { {} },

  run = function(job)
    return job.input:describe()
  end,
}

-- One line that the bench reads: requests, microseconds, bytes, and answers that were none or no success.
done = function(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("report %d %d %d %d\n", summary.requests, summary.duration, summary.bytes, failed))
end

-- wrk's script: POST one body with wrk's own counters as one line of JSON at the end.
-- Arguments after `--`: the file with the body, then a name and a value for each header.

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  file:close()
  for i = 2, #arguments, 2 do
    wrk.headers[arguments[i]] = arguments[i + 1]
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'serin {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"errors":' ..
    '{"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end

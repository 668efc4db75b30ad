-- test/bench/receiver.lua - a wrk script that sends each of many requests once, by one thread.
-- Argument: a file in which every request follows its length and a line feed. Prints requests a
-- second, median and 99th percentile in ms, and how many were not answered 200.

local place = 0
local requests = {}

function init(arguments)
    local file = assert(io.open(arguments[1], "rb"))

    for line in function() return file:read("*l") end do
        requests[#requests + 1] = file:read(tonumber(line))
    end
    file:close()
end

function request()
    place = place + 1
    return requests[place] or error("receiver.lua has no more requests")
end

function done(summary, latency, all)
    local errors = summary.errors
    io.write(string.format("%.0f %.2f %.2f %d\n", summary.requests / summary.duration * 1e6,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000,
        errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end

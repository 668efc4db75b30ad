-- receiver.lua - a wrk script that sends each of many requests once. Argument: a file in which every
-- request follows its length and a line feed. Threads share them out by number.

local count = 0

function setup(thread)
    thread:set("number", count)
    count = count + 1
end

function init(arguments)
    local file = assert(io.open(arguments[1], "rb"))
    local threads = tonumber(arguments[2])
    local line = file:read("*l")
    local n = 0

    requests = {}
    while line do
        local request = file:read(tonumber(line))
        if n % threads == number then
            requests[#requests + 1] = request
        end
        n = n + 1
        line = file:read("*l")
    end
    file:close()
    place = 0
end

function request()
    place = place + 1
    return requests[place] or requests[#requests]
end

-- wrk sends a few more requests than it counts, and those before this one are on their way.
function response(status, headers, body)
    if status ~= 200 then
        failed = (failed or 0) + 1
    end
    if place >= #requests then
        wrk.thread:stop()
    end
end

function done(summary, latency, all)
    io.write(string.format("%.0f %.2f %.2f %d\n", summary.requests / summary.duration * 1e6,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000,
        summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end

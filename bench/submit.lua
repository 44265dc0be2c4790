-- Exactly N accepted submissions: wrk -s submit.lua URL -- N PATH TOKEN BODY IDS
-- Prints one line when the last is answered: accepted, refused, seconds, and when the first was sent (seconds since 1970).
-- The ids of the jobs go to the file IDS. wrk itself would go on until its time is over: whoever runs it ends it then.
-- A connection that finds nothing left to submit while the last answers are on their way sends half a line, which no server answers.

local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } moment;
  int clock_gettime(int clock, moment *at);
]]

local at = ffi.new("moment")

local function now(clock)
  ffi.C.clock_gettime(clock, at)
  return tonumber(at.seconds) + tonumber(at.nanoseconds) / 1e9
end

local NOTHING = "GET / HT"
local wanted, submission, ids
local asked, accepted, refused = 0, 0, 0
local listed, first, began = {}, nil, nil
local checked, over = false, false

function init(args)
  wanted = tonumber(args[1])
  local headers = { ["Content-Type"] = "application/json" }
  if args[3] ~= "" then headers["Authorization"] = "Bearer " .. args[3] end
  submission = wrk.format("POST", args[2], headers, args[4])
  ids = args[5]
end

function request()
  if not checked then -- wrk calls once to look at what it would send, and does not send it
    checked = true
    return submission
  end
  if asked >= wanted then return NOTHING end
  if asked == 0 then began, first = now(1), now(0) end
  asked = asked + 1
  return submission
end

function response(status, headers, body)
  if over then return end
  if status == 201 then
    accepted = accepted + 1
    listed[accepted] = string.match(body, '"id":"([^"]+)"')
  else
    refused = refused + 1
  end
  if accepted + refused >= wanted then
    over = true
    local took = now(1) - began
    local file = io.open(ids, "w")
    file:write(table.concat(listed, "\n"))
    file:close()
    io.write(string.format("over %d %d %.6f %.6f\n", accepted, refused, took, first))
    io.flush()
    wrk.thread:stop()
  end
end

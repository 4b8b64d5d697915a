-- Recipients of a restricted client, and a client that becomes one.

-- miltertest ends at an error without saying which.
local function fail(what)
  mt.echo("FAILED: " .. what)
  error(what)
end

local function check(failure, what)
  if failure ~= nil then
    fail(what .. ": " .. tostring(failure))
  end
end

local function expect(conn, reply, what)
  if mt.getreply(conn) ~= reply then
    fail(what .. ": unexpected reply " .. string.char(mt.getreply(conn)))
  end
end

local function open(address)
  local conn = mt.connect(socket)
  if conn == nil then
    fail("connect failed")
  end
  check(mt.conninfo(conn, "client.example", address), "CONNECT")
  check(mt.helo(conn, "client.example"), "HELO")
  return conn
end

local conn = open("127.0.0.9")
check(mt.mailfrom(conn, "<a@example.org>"), "MAIL")
check(mt.rcptto(conn, "<b@example.net>"), "RCPT")
expect(conn, SMFIR_REPLYCODE, "relayed recipient")
check(mt.rcptto(conn, "<b@inbound.example>"), "RCPT")
expect(conn, SMFIR_CONTINUE, "inbound recipient")
check(mt.header(conn, "From", "<a@example.org>"), "header")
check(mt.eom(conn), "end of message")
expect(conn, SMFIR_CONTINUE, "end of message")
mt.disconnect(conn)

conn = open("127.0.0.8")
local refused = false
for n = 1, 11 do
  check(mt.mailfrom(conn, "<a@spam" .. n .. ".example>"), "MAIL")
  check(mt.rcptto(conn, "<b@example.net>"), "RCPT")
  expect(conn, SMFIR_CONTINUE, "RCPT")
  check(mt.header(conn, "From", "<a@example.org>"), "header")
  check(mt.eom(conn), "end of message")
  if mt.getreply(conn) ~= SMFIR_CONTINUE then
    expect(conn, SMFIR_REPLYCODE, "end of message")
    -- Postfix leaves out a single `%`.
    local text = "100%% stopped, case C-000002"
    if not mt.eom_check(conn, MT_SMTPREPLY, "451", "4.7.1", text) then
      fail("end of message: not 451 4.7.1 " .. text)
    end
    refused = true
    break
  end
end
if not refused then
  fail("eleven messages passed")
end
check(mt.mailfrom(conn, "<a@example.org>"), "MAIL")
check(mt.rcptto(conn, "<b@example.net>"), "RCPT")
expect(conn, SMFIR_REPLYCODE, "the next message")
mt.disconnect(conn)

-- A message of a client whose mail is held.

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

local conn = mt.connect(socket)
if conn == nil then
  fail("connect failed")
end
check(mt.conninfo(conn, "client.example", "127.0.0.8"), "CONNECT")
if not mt.test_action(conn, SMFIF_QUARANTINE) then
  fail("quarantine not asked for")
end
check(mt.mailfrom(conn, "<a@example.org>"), "MAIL")
check(mt.rcptto(conn, "<b@example.net>"), "RCPT")
check(mt.header(conn, "From", "<a@example.org>"), "header")
check(mt.eom(conn), "end of message")
if not mt.eom_check(conn, MT_QUARANTINE) then
  fail("not held")
end
if mt.getreply(conn) ~= SMFIR_CONTINUE then
  fail("end of message: unexpected reply")
end
mt.disconnect(conn)

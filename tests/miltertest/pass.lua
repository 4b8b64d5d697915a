-- Two messages of one client in one session, with an abort between them, and
-- one of a login. miltertest expects no reply where none was agreed on.

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

local function message(conn, sender, login)
  if login then
    mt.macro(conn, SMFIC_MAIL, "j", "mx.example.org", "{mail_addr}", sender, "{auth_authen}", login)
  else
    mt.macro(conn, SMFIC_MAIL, "j", "mx.example.org", "{mail_addr}", sender)
  end
  check(mt.mailfrom(conn, "<" .. sender .. ">", "SIZE=1000"), "MAIL")
  mt.macro(conn, SMFIC_RCPT, "j", "mx.example.org", "{rcpt_mailer}", "smtp",
    "{rcpt_host}", "example.net", "{rcpt_addr}", "b@example.net")
  check(mt.rcptto(conn, "<b@example.net>"), "RCPT")
  expect(conn, SMFIR_CONTINUE, "RCPT")
end

local function rest(conn)
  check(mt.header(conn, "From", "Somebody <a@example.org>"), "header")
  check(mt.eom(conn), "end of message")
  expect(conn, SMFIR_CONTINUE, "end of message")
end

local conn = mt.connect(socket)
if conn == nil then
  fail("connect failed")
end
check(mt.conninfo(conn, "client.example", "127.0.0.7"), "CONNECT")
for _, option in ipairs({ SMFIP_NOBODY, SMFIP_NODATA, SMFIP_NOEOH, SMFIP_NR_CONN,
                          SMFIP_NR_HELO, SMFIP_NR_MAIL, SMFIP_NR_HDR }) do
  if not mt.test_option(conn, option) then
    fail("option not asked for: " .. option)
  end
end
check(mt.helo(conn, "client.example"), "HELO")
message(conn, "a@example.org")
rest(conn)
message(conn, "a@example.org")
mt.abort(conn)
message(conn, "a@example.org")
rest(conn)
message(conn, "a@example.org", "ALICE")
rest(conn)
mt.disconnect(conn)

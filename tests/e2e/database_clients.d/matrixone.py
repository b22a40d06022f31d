"""What MySQL's clients find in the MatrixOne front end."""

import shutil
import ssl

import mysql.connector
import pymysql
from standin import contains, equal, refused, sql_error

MYSQL = shutil.which("mysql") or shutil.which("mariadb")
NO_CN = "internal error: no available CN server"
CHECK_FAILED = "internal error: check password failed"

# What a login can be refused with: the stand-in's name, the code, a part of the text.
ROWS = [
    ("no_cn", 20101, NO_CN),
    ("no_cn_servers", 20101, "no available CN servers"),
    ("old_no_cn", 1045, "no available CN server"),
    ("cn_busy", 20508, "all CN servers are busy"),
    ("cn_not_ready", 20101, "cn service is not ready, retry later"),
    ("no_tenant", 20101, "there is no tenant"),
    ("no_user", 20101, "there is no user admin"),
    ("no_role", 20101, "there is no role accountadmin"),
    ("role_not_granted", 20101, "has not been granted to the user admin"),
    ("user_locked", 20101, "user is locked, please try again later"),
    ("user_locked_for_good", 20101, "ask the administrator to unlock"),
    ("not_invited", 20301, "is not in the invited nodes"),
    ("wrong_password", 1045, CHECK_FAILED),
    ("suspended", 1045, "is suspended"),
    ("source_not_authorized", 1045, "is not authorized"),
    ("too_many_connections", 1040, "Too many connections"),
    ("plugin_rejected", 1815, "Auth failed: info:"),
    ("access_error_twice", 1045, CHECK_FAILED),
    ("packet_too_big", 13125, "Got a packet bigger than"),
]


def account(standin):
    return next(iter(standin.accounts["users"].items()))


def by_pymysql(standin, password=None, **more):
    user, known = account(standin)
    more.setdefault("ssl_disabled", "ssl" not in more)
    return pymysql.connect(
        host=standin.ip, port=standin.port, user=user, password=known if password is None else password,
        connect_timeout=5, read_timeout=5, **more,
    )


def select_one(connection):
    cursor = connection.cursor()
    cursor.execute("select 1")
    return cursor.fetchall()


def pymysql_plain(standin):
    with by_pymysql(standin) as connection:
        contains(connection.get_server_info(), "8.0.30-MatrixOne-v")
        connection.ping(reconnect=False)
        equal([tuple(row) for row in select_one(connection)], [(1,)], "select 1")
        connection.select_db("test")
        cursor = connection.cursor()
        cursor.execute("show databases")
        contains([row[0] for row in cursor.fetchall()], "mo_catalog")
        cursor.execute("select 'x', null, @@wait_timeout as w")
        equal(cursor.fetchone(), ("x", None, 86400), "a row")
        refused(lambda: cursor.execute("drop table x"), pymysql.err.ProgrammingError, "1064", "SQL parser error")
    counts = standin.counts()
    equal((counts["logins"], counts["pings"], counts["quits"]), (1, 1, 1), "logins, pings, goodbyes")
    equal(counts["last_login"]["tls"], False, "TLS")
    equal(counts["last_login"]["user"], account(standin)[0], "user")


def pymysql_tls(standin):
    with by_pymysql(standin, ssl_disabled=None) as connection:
        equal(len(select_one(connection)), 1, "rows")
    equal(standin.counts()["last_login"]["tls"], True, "TLS of its own accord")
    context = ssl.create_default_context(cafile=standin.ca)
    with by_pymysql(standin, ssl=context) as connection:
        equal(len(select_one(connection)), 1, "rows")
    for certificate, part in [
        ("expired", "certificate has expired"),
        ("other_name", "IP address mismatch"),
        ("untrusted", "unable to get local issuer certificate"),
        ("self_signed", "self-signed certificate"),
    ]:
        standin.mode({"certificate": certificate})
        refused(lambda: by_pymysql(standin, ssl=context), Exception, part)


def pymysql_without_tls(standin):
    standin.control("PATCH", "databases/matrixone", {"tls": False})
    with by_pymysql(standin, ssl_disabled=None) as connection:
        equal(len(select_one(connection)), 1, "rows")
    context = ssl.create_default_context(cafile=standin.ca)
    refused(lambda: by_pymysql(standin, ssl=context), pymysql.err.OperationalError, "SSL")


def pymysql_wrong_password(standin):
    error = refused(lambda: by_pymysql(standin, "wrong"), pymysql.err.OperationalError, CHECK_FAILED)
    equal(error.args[0], 1045, "code")
    equal(standin.counts()["failed_logins"], 1, "failed logins")


def pymysql_other_names(standin):
    user, password = account(standin)
    for name in [user.replace(":", "#"), user.replace(":", "%3A"), user + "?cn=label", user.rsplit(":", 1)[0]]:
        with pymysql.connect(host=standin.ip, port=standin.port, user=name, password=password) as connection:
            equal(len(select_one(connection)), 1, name)
    nobody = user.replace("admin:", "nobody:", 1)
    error = refused(
        lambda: pymysql.connect(host=standin.ip, port=standin.port, user=nobody, password=password),
        pymysql.err.MySQLError, "there is no user nobody",
    )
    equal(error.args[0], 20101, "code")


def pymysql_rows(standin):
    for row, code, text in ROWS:
        standin.mode({"login": row})
        error = refused(lambda: by_pymysql(standin), pymysql.err.MySQLError, text)
        equal(error.args[0], code, row)


def pymysql_first_packets(standin):
    standin.mode("too_many_connections")
    error = refused(lambda: by_pymysql(standin), pymysql.err.MySQLError, "Too many connections")
    equal(error.args[0], 1040, "code")
    standin.mode({"first_packet": sql_error(1129, "Host is blocked", "")})
    error = refused(lambda: by_pymysql(standin), pymysql.err.MySQLError, "Host is blocked")
    equal(error.args[0], 1129, "code")
    for mode in ["hang_up", "reset", "cut_greeting", "old_protocol", "garbage", "refused"]:
        standin.mode(mode)
        refused(lambda: by_pymysql(standin), Exception)
    for mode in ["stall_greeting", "stall_login", "silent"]:
        standin.mode(mode)
        user, password = account(standin)
        refused(
            lambda: pymysql.connect(
                host=standin.ip, port=standin.port, user=user, password=password, connect_timeout=1, read_timeout=1
            ),
            pymysql.err.OperationalError, "timed out",
        )
    for mode in ["mysql", "other_plugin", {"drip": {"every_ms": 5}}]:
        standin.mode(mode)
        with by_pymysql(standin) as connection:
            equal(len(select_one(connection)), 1, str(mode))


def pymysql_results(standin):
    for mode, expected in [("up", [(1,)]), ("empty_result", []), ("other_value", [(-1,)])]:
        standin.mode(mode)
        with by_pymysql(standin) as connection:
            equal([tuple(row) for row in select_one(connection)], expected, mode)
    standin.mode({"query_error": sql_error(20101, "internal error: x")})
    with by_pymysql(standin) as connection:
        error = refused(lambda: select_one(connection), pymysql.err.MySQLError, "internal error: x")
        equal(error.args[0], 20101, "code")


def pymysql_is_robbed(standin):
    """PyMySQL does as it is asked: the stand-in must notice."""
    standin.mode("ask_clear_password")
    by_pymysql(standin).close()
    equal(standin.counts()["clear_passwords"], 1, "clear passwords")
    standin.mode("ask_sha2_password")
    by_pymysql(standin, ssl_disabled=None).close()
    equal(standin.counts()["clear_passwords"], 2, "clear passwords, over TLS")
    standin.mode("local_infile")
    with by_pymysql(standin) as connection:
        refused(lambda: select_one(connection), RuntimeError, "local_infile option is false")
    equal(standin.counts()["file_pieces"], 0, "pieces of a file")
    with by_pymysql(standin, local_infile=True) as connection:
        select_one(connection)
    equal(standin.counts()["file_pieces"], 1, "pieces of a file")


def by_connector(standin, password=None, **more):
    user, known = account(standin)
    more.setdefault("ssl_disabled", "ssl_ca" not in more)
    return mysql.connector.connect(
        host=standin.ip, port=standin.port, user=user, password=known if password is None else password,
        use_pure=True, connection_timeout=5, **more,
    )


def connector_plain(standin):
    connection = by_connector(standin)
    connection.ping(reconnect=False)
    equal(select_one(connection), [(1,)], "select 1")
    connection.close()
    counts = standin.counts()
    equal((counts["logins"], counts["quits"], counts["unfinished_handshakes"]), (1, 1, 0), "logins, goodbyes")
    if counts["pings"] < 1:
        raise AssertionError("no ping came")


def connector_tls(standin):
    connection = by_connector(standin, ssl_ca=standin.ca, ssl_verify_cert=True, ssl_verify_identity=True)
    equal(select_one(connection), [(1,)], "select 1")
    connection.close()
    equal(standin.counts()["last_login"]["tls"], True, "TLS")
    for certificate in ["expired", "other_name", "untrusted"]:
        standin.mode({"certificate": certificate})
        refused(
            lambda: by_connector(standin, ssl_ca=standin.ca, ssl_verify_cert=True, ssl_verify_identity=True),
            mysql.connector.Error,
        )


def connector_errors(standin):
    error = refused(lambda: by_connector(standin, "wrong"), mysql.connector.Error, CHECK_FAILED)
    equal((error.errno, error.sqlstate), (1045, "28000"), "code and state")
    standin.mode({"login": "no_cn"})
    error = refused(lambda: by_connector(standin), mysql.connector.Error, NO_CN)
    equal((error.errno, error.sqlstate), (20101, "HY000"), "code and state")
    standin.mode("too_many_connections")
    error = refused(lambda: by_connector(standin), mysql.connector.Error, "Too many connections")
    equal((error.errno, error.sqlstate), (1040, "08004"), "code and state")


def by_mysql(standin, *arguments, password=None, statement="select 1"):
    user, known = account(standin)
    return standin.run(
        MYSQL, "--no-defaults", f"--host={standin.ip}", f"--port={standin.port}", f"--user={user}",
        f"--password={known if password is None else password}", "--connect-timeout=5", "--batch",
        "--skip-column-names", *arguments, f"--execute={statement}",
    )


def mysql_plain(standin):
    equal(by_mysql(standin, "--skip-ssl"), (0, "1\n", ""), "select 1")
    counts = standin.counts()
    equal((counts["logins"], counts["quits"], counts["last_login"]["tls"]), (1, 1, False), "logins, goodbyes, TLS")
    code, out, _ = by_mysql(standin, "--skip-ssl", statement="status")
    contains(out, "8.0.30-MatrixOne-v", "Connection id")
    equal(code, 0, "status")


def mysql_tls(standin):
    equal(by_mysql(standin, f"--ssl-ca={standin.ca}", "--ssl"), (0, "1\n", ""), "select 1")
    equal(standin.counts()["last_login"]["tls"], True, "TLS")
    verify = [f"--ssl-ca={standin.ca}", "--ssl-verify-server-cert"]
    equal(by_mysql(standin, *verify), (0, "1\n", ""), "select 1, verified")
    for certificate in ["expired", "other_name", "untrusted"]:
        standin.mode({"certificate": certificate})
        code, out, _ = by_mysql(standin, *verify)
        equal((code, out), (1, ""), certificate)


def mysql_errors(standin):
    code, _, said = by_mysql(standin, "--skip-ssl", password="wrong")
    contains(said, "ERROR 1045 (28000)", CHECK_FAILED)
    equal(code, 1, "exit code")
    standin.mode({"login": "no_cn"})
    contains(by_mysql(standin, "--skip-ssl")[2], "ERROR 20101 (HY000)", NO_CN)
    standin.mode("too_many_connections")
    contains(by_mysql(standin, "--skip-ssl")[2], "1040", "Too many connections")
    standin.mode("refused")
    contains(by_mysql(standin, "--skip-ssl")[2], "ERROR 2002", "Can't connect")


SCENES = [
    ("PyMySQL: logs in, pings, asks", pymysql_plain),
    ("PyMySQL: STARTTLS, and each bad certificate", pymysql_tls),
    ("PyMySQL: a front end without TLS", pymysql_without_tls),
    ("PyMySQL: 1045, a wrong password", pymysql_wrong_password),
    ("PyMySQL: every form of a user's name", pymysql_other_names),
    ("PyMySQL: every row of the table of login errors", pymysql_rows),
    ("PyMySQL: 1040 and all else that a first packet can be", pymysql_first_packets),
    ("PyMySQL: results empty, other and wrong", pymysql_results),
    ("PyMySQL: gives away password and file, and the stand-in notices", pymysql_is_robbed),
    ("MySQL's connector: logs in, pings, asks", connector_plain),
    ("MySQL's connector: STARTTLS, verified, and bad certificates", connector_tls),
    ("MySQL's connector: 1045, 20101 and 1040 with their states", connector_errors),
    ("mysql: logs in and asks", mysql_plain),
    ("mysql: STARTTLS, verified, and bad certificates", mysql_tls),
    ("mysql: 1045, 20101, 1040, refused", mysql_errors),
]

/* millrace web: the web process, started by `millrace serve`. */
#include "web/web.h"

#include "base/log.h"
#include "cli/args.h"
#include "cli/command.h"

static int run(int argc, char **argv)
{
    struct settings_override override = {0};
    struct web_options options = {0};
    struct settings settings = {0};
    int64_t port = 0;
    bool any_port = false;
    struct err err;
    const struct arg table[] = {
        {"state",    0, ARG_TEXT, &override.state_folder},
        {"dags",     0, ARG_TEXT, &override.dags_folder },
        {"host",     0, ARG_TEXT, &override.host        },
        {"port",     0, ARG_INT,  &port                 },
        {"any-port", 0, ARG_FLAG, &any_port             },
        {"parent",   0, ARG_INT,  &options.parent       },
    };

    int count = args_parse(&web_command, table, sizeof(table) / sizeof(table[0]), argc, argv);
    if (count < 0)
        return err_exit_code(ERR_USAGE);
    if (count > 0)
        return command_usage_error(&web_command, "it takes no arguments, only options");
    log_init("web");
    override.port = port;
    if (!settings_load(&override, &settings, &err))
        return command_fail(&err);
    if (any_port)
        settings.port = 0;
    options.settings = &settings;
    bool ok = web_main(&options, &err);
    settings_release(&settings);
    return ok ? 0 : command_fail(&err);
}

const struct command web_command = {
    .name = "web",
    .summary = "The web process of `serve`: REST API, event stream and status page",
    .usage = "Usage: millrace web [--state FOLDER] [--dags FOLDER] [--host ADDRESS] [--port N]\n"
             "                    [--any-port] [--parent PID]\n\n"
             "Serves the REST API, the event stream and the status page of a state folder until\n"
             "it gets SIGTERM, and writes its address to web.json there. Only loopback addresses\n"
             "are accepted. Usually started by `millrace serve`.\n\n"
             "  --state FOLDER   the state folder (default: .millrace beside millrace.yaml)\n"
             "  --dags FOLDER    the DAG folder, for the places of files in answers\n"
             "  --host ADDRESS   127.0.0.1, ::1 or localhost (default: 127.0.0.1)\n"
             "  --port N         the port (default: 8080)\n"
             "  --any-port       let the system choose a free port\n"
             "  --parent PID     end when this process, which must be the parent, ends\n",
    .hidden = true,
    .goes_on = true,
    .run = run,
};

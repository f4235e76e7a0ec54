using System.CommandLine;
using KvHandoff.Gateway.Api;
using KvHandoff.Gateway.Discovery;
using KvHandoff.Gateway.Limits;
using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Hosting;

/// <summary>The command line.</summary>
internal static class GatewayCommand
{
    private const int MaxWorkers = 64, MaxSeconds = 86_400;

    internal static RootCommand Create(Func<GatewaySettings, Task<int>> run)
    {
        Option<string?> role = ArgumentRules.Choice("--role", "What this process is; default all: the gateway and workers of its own.", "all", "gateway", "prefill", "decode", "both");
        Option<ListenAddress?> listen = ArgumentRules.Parsed<ListenAddress>("--listen", $"Where the gateway listens; default {ListenAddress.Default}.", ListenAddress.Allowed, text => (ListenAddress.TryParse(text, out ListenAddress? a), a));
        var allowRemote = new Option<bool>("--allow-remote") { Description = "Listen on an address that is not loopback without API keys, and let a worker's traffic there go unencrypted." };
        Option<long?> prefill = ArgumentRules.Number("--prefill-workers", "Prefill workers to start; default 1.", 0, MaxWorkers), decode = ArgumentRules.Number("--decode-workers", "Decode workers to start; default 1.", 0, MaxWorkers);
        Option<long?> both = ArgumentRules.Number("--monolithic-workers", "Workers of both phases to start, for the route without a handoff; default 1.", 0, MaxWorkers);
        Option<string?> transport = ArgumentRules.Choice("--transport", "How caches travel between the workers that are started; default shm.", "shm", "unix", "tcp");
        Option<string?> model = ArgumentRules.Parsed<string>("--model", "Directory with config.json and the safetensors files; default: the model that ships.", "a directory that exists", text => (Directory.Exists(text), text));
        Option<string[]?> aliases = ArgumentRules.Parsed<string[]>("--model-alias", "More names that the model answers to.", "names, separated by commas", text => (text.Split(',').All(n => n.Length is > 0 and <= 128), text.Split(',')));
        Option<long?> cache = ArgumentRules.Number("--cache-tokens", "Tokens that each worker's cache holds.", 64, 1L << 32), batch = ArgumentRules.Number("--batch", "Sequences that a worker decodes at once.", 1, 256);
        Option<long?> threads = ArgumentRules.Number("--threads", "Threads that each worker computes with.", 1, 1024);
        Option<DirectoryAddress?> directory = ArgumentRules.Parsed<DirectoryAddress>("--directory", "Where workers are found, and where a worker puts itself; default static.", DirectoryAddress.Allowed, text => (DirectoryAddress.TryParse(text, out DirectoryAddress? a), a));
        Option<string[]?> workers = ArgumentRules.Parsed<string[]>("--workers", "Control addresses of workers that run already, for --role gateway.", "unix:///PATH or http://HOST:PORT, separated by commas", text => (text.Split(',').All(IsControlAddress), text.Split(',')));
        Option<string?> keys = ArgumentRules.Parsed<string>("--api-keys", $"File of API keys, one a line, a name after it if you like; also: {ApiKeys.Variable}, separated by commas.", "a file that exists", text => (File.Exists(text), text));
        Option<long?> rpm = ArgumentRules.Number("--requests-per-minute", "Limit of each key.", 1, RateLimits.Most), rpd = ArgumentRules.Number("--requests-per-day", "Limit of each key.", 1, RateLimits.Most);
        Option<long?> tpm = ArgumentRules.Number("--tokens-per-minute", "Limit of each key.", 1, RateLimits.Most), tpd = ArgumentRules.Number("--tokens-per-day", "Limit of each key.", 1, RateLimits.Most);
        Option<long?> running = ArgumentRules.Number("--max-running", "Requests at workers at once; default 256.", 1, 100_000), queue = ArgumentRules.Number("--max-queue", "Requests that wait for that; default 1024, more get 429.", 0, 1_000_000);
        Option<long?> defaultTokens = ArgumentRules.Number("--default-max-tokens", "Tokens of an answer for which none were asked; default 512.", 1, 1_000_000);
        Option<string?> usage = ArgumentRules.Choice("--usage", "Whether streams end with usage and time_info: always unless the client says no (default), or only where it asks.", "always", "on-request");
        Option<long?> requestTimeout = ArgumentRules.Number("--request-timeout", "Seconds of a request at most; default 300.", 1, MaxSeconds), handoffTimeout = ArgumentRules.Number("--handoff-timeout", "Seconds from the choice of workers to the commit at most; default 120.", 1, MaxSeconds);
        Option<long?> workerWait = ArgumentRules.Number("--worker-wait", "Seconds that a request waits while no worker is up; default 5.", 0, MaxSeconds), drain = ArgumentRules.Number("--drain", "Seconds that requests may go on after Ctrl-C; default 20.", 0, MaxSeconds);
        Option<long?> warmUp = ArgumentRules.Number("--warm-up", "Seconds of requests of its own before it takes clients', with --role all; default 5. Without, the first hundreds of answers share the processors with the compiler.", 0, MaxSeconds);
        Option<string?> name = ArgumentRules.Parsed<string>("--name", "A worker's name, unique in its directory; default: role, host and process.", "1 to 64 letters, digits, '-', '_', '.'", text => (text.Length is >= 1 and <= 64 && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.'), text));
        Option<string?> pool = ArgumentRules.Parsed<string>("--pool", "A worker's pool; default 'default'.", "1 to 64 characters", text => (text.Length is >= 1 and <= 64, text));
        Option<string?> control = ArgumentRules.Parsed<string>("--control", "Where a worker is asked; default http://127.0.0.1:0.", "unix:///PATH or http://HOST:PORT", text => (IsControlAddress(text), text));
        Option<string?> advertise = ArgumentRules.Parsed<string>("--advertise", "The control address as others reach it, for the directory; default: --control.", "unix:///PATH or http://HOST:PORT", text => (IsControlAddress(text), text));
        Option<string?> handoff = ArgumentRules.Parsed<string>("--handoff", "Where a worker's receiver listens; default shm.", "shm, unix, or an endpoint such as tcp://10.0.0.3:7400", text => (text is "shm" or "unix" || text.Contains("://", StringComparison.Ordinal), text));
        Option<long?> lease = ArgumentRules.Number("--lease", "Seconds that a dead worker stays in etcd; default 5.", 1, 3600);
        var command = new RootCommand("""
            A gateway with the APIs of OpenAI and Cerebras, whose prefill workers hand their KV caches to its decode workers.
            Without arguments: this process is the gateway, on http://127.0.0.1:8080, and starts a prefill worker, a decode worker and a worker of both
            phases (the route without a handoff, the baseline) as processes of their own. Ctrl-C lets requests end, then ends all of them.
            Examples:
              --prefill-workers 2 --decode-workers 2 --transport tcp
              --listen http://0.0.0.0:8080 --api-keys keys.txt --tokens-per-minute 60000
            Over several machines, with one key in KVHANDOFF_TICKET_KEY (64 hexadecimal digits) on all of them:
              --role prefill --directory etcd+http://10.0.0.1:2379 --control http://10.0.0.2:7500 --allow-remote
              --role decode --directory etcd+http://10.0.0.1:2379 --control http://10.0.0.3:7500 --handoff tcp://10.0.0.3:7400 --allow-remote
              --role gateway --directory etcd+http://10.0.0.1:2379
            docs/gateway.md has the rest. Exit code: 0 ended, 1 failed, 2 bad arguments.
            """)
        {
            role, listen, allowRemote, prefill, decode, both, transport, model, aliases, cache, batch, threads, directory, workers, keys, rpm, rpd, tpm, tpd, running, queue,
            defaultTokens, usage, requestTimeout, handoffTimeout, workerWait, drain, warmUp, name, pool, control, advertise, handoff, lease,
        };
        command.SetAction((result, _) =>
        {
            RateLimits limits = new();
            RoutingOptions routing = new();
            return run(new GatewaySettings
            {
                Role = Enum.Parse<Role>(result.GetValue(role) ?? "all", ignoreCase: true),
                Listen = result.GetValue(listen) ?? ListenAddress.Default,
                AllowRemote = result.GetValue(allowRemote),
                PrefillWorkers = (int)(result.GetValue(prefill) ?? 1),
                DecodeWorkers = (int)(result.GetValue(decode) ?? 1),
                MonolithicWorkers = (int)(result.GetValue(both) ?? 1),
                Transport = result.GetValue(transport) ?? "shm",
                Model = result.GetValue(model),
                CacheTokens = result.GetValue(cache),
                BatchSize = (int?)result.GetValue(batch),
                Threads = (int?)result.GetValue(threads),
                Directory = result.GetValue(directory) ?? DirectoryAddress.Static,
                Workers = result.GetValue(workers) ?? [],
                ApiKeysFile = result.GetValue(keys),
                Limits = new RateLimits
                {
                    RequestsPerMinute = result.GetValue(rpm) ?? limits.RequestsPerMinute,
                    RequestsPerDay = result.GetValue(rpd) ?? limits.RequestsPerDay,
                    TokensPerMinute = result.GetValue(tpm) ?? limits.TokensPerMinute,
                    TokensPerDay = result.GetValue(tpd) ?? limits.TokensPerDay,
                },
                Routing = routing with
                {
                    RequestDeadline = Seconds(result.GetValue(requestTimeout), routing.RequestDeadline),
                    HandoffDeadline = Seconds(result.GetValue(handoffTimeout), routing.HandoffDeadline),
                    WorkerWait = Seconds(result.GetValue(workerWait), routing.WorkerWait),
                },
                Api = new ApiOptions { DefaultMaxTokens = (int)(result.GetValue(defaultTokens) ?? 512), AlwaysSendUsage = result.GetValue(usage) != "on-request", Aliases = result.GetValue(aliases) ?? [] },
                MaxRunning = (int)(result.GetValue(running) ?? 256),
                MaxQueue = (int)(result.GetValue(queue) ?? 1024),
                Drain = Seconds(result.GetValue(drain), TimeSpan.FromSeconds(20)),
                WarmUp = Seconds(result.GetValue(warmUp), TimeSpan.FromSeconds(5)),
                Name = result.GetValue(name),
                Pool = result.GetValue(pool) ?? "default",
                ControlAddress = result.GetValue(control),
                Handoff = result.GetValue(handoff),
                Advertise = result.GetValue(advertise),
                LeaseTime = Seconds(result.GetValue(lease), TimeSpan.FromSeconds(5)),
            });
        });
        return command;
    }

    private static TimeSpan Seconds(long? value, TimeSpan otherwise) => value is { } seconds ? TimeSpan.FromSeconds(seconds) : otherwise;

    private static bool IsControlAddress(string text) =>
        (text.StartsWith("unix:///", StringComparison.Ordinal) && text.Length > "unix:///".Length) || (Uri.TryCreate(text, UriKind.Absolute, out Uri? uri) && uri.Scheme == "http");
}

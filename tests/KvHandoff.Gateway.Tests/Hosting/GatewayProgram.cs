using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace KvHandoff.Gateway.Tests.Hosting;

/// <summary>The built program as a process of its own, with its workers, the way users start it.</summary>
internal sealed partial class GatewayProgram : IAsyncDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(90);

    private readonly Process _process;
    private readonly StringBuilder _output = new(), _errors = new();

    private GatewayProgram(Process process)
    {
        _process = process;
        process.OutputDataReceived += (_, line) => Append(_output, line.Data);
        process.ErrorDataReceived += (_, line) => Append(_errors, line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        Http = new HttpClient { Timeout = Limit };
    }

    /// <summary>Asks the gateway; without a base address for a worker.</summary>
    internal HttpClient Http { get; }

    internal string Output => Read(_output);

    internal string Errors => Read(_errors);

    internal int Id => _process.Id;

    internal bool HasExited => _process.HasExited;

    /// <summary>Starts the program with any arguments.</summary>
    internal static GatewayProgram Start(string[] arguments, params (string Variable, string Value)[] environment)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false, WorkingDirectory = Path.GetTempPath() };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "KvHandoff.Gateway.dll"));
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        foreach ((string variable, string value) in environment) start.Environment[variable] = value;
        return new GatewayProgram(Process.Start(start)!);
    }

    /// <summary>Starts a gateway on a free port, without a warm-up, and waits until it serves.</summary>
    internal static Task<GatewayProgram> ServeAsync(string[] arguments, params (string Variable, string Value)[] environment) => ServeWarmAsync(["--warm-up", "0", .. arguments], environment);

    /// <summary>The same with its warm-up.</summary>
    internal static async Task<GatewayProgram> ServeWarmAsync(string[] arguments, params (string Variable, string Value)[] environment)
    {
        GatewayProgram program = Start(["--listen", "http://127.0.0.1:0", .. arguments], environment);
        string address = await program.WaitAsync(() => Greeting().Match(program.Output) is { Success: true } match ? match.Groups[1].Value : null, "it serves");
        program.Http.BaseAddress = new Uri(address);
        return program;
    }

    /// <summary>Process of a worker that this program started, the latest one of the name.</summary>
    internal int WorkerId(string name) => int.Parse(Regex.Matches(Errors, $@"worker {Regex.Escape(name)}: process (\d+)")[^1].Groups[1].Value, CultureInfo.InvariantCulture);

    /// <summary>The gateway's report of itself.</summary>
    internal async Task<JsonElement> HealthAsync()
    {
        using HttpResponseMessage response = await Http.GetAsync("/health");
        return JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement;
    }

    /// <summary>Waits until a condition gives something.</summary>
    internal async Task<T> WaitAsync<T>(Func<T?> condition, string what) where T : class
    {
        long end = Environment.TickCount64 + (long)Limit.TotalMilliseconds;
        while (true)
        {
            if (condition() is { } value) return value;
            Assert.True(Environment.TickCount64 < end && !_process.HasExited, $"It never came to that {what}. It wrote: {Output}{Errors}");
            await Task.Delay(20);
        }
    }

    /// <summary>Waits until all workers are up, and nothing of any request is left at them.</summary>
    internal async Task IdleAsync(int workers, TimeSpan? limit = null)
    {
        for (long end = Environment.TickCount64 + (long)(limit ?? Limit).TotalMilliseconds; ;)
        {
            JsonElement health = await HealthAsync();
            JsonElement[] seats = [.. health.GetProperty("workers").EnumerateArray()];
            if (seats.Length == workers && health.GetProperty("running").GetInt32() == 0 && seats.All(IsIdle)) return;
            Assert.True(Environment.TickCount64 < end, $"The workers are not idle: {health}");
            await Task.Delay(50);
        }

        static bool IsIdle(JsonElement seat) => seat.GetProperty("up").GetBoolean() && seat.TryGetProperty("running", out JsonElement running) && running.GetInt32() == 0 && seat.GetProperty("waiting").GetInt32() == 0
            && seat.GetProperty("free_tokens").GetInt64() == seat.GetProperty("cache_tokens").GetInt64();
    }

    internal async Task<int> WaitForExitAsync()
    {
        using var limit = new CancellationTokenSource(Limit);
        await _process.WaitForExitAsync(limit.Token);
        return _process.ExitCode;
    }

    internal static void Signal(int process, string signal)
    {
        using Process kill = Process.Start("kill", ["-" + signal, process.ToString(CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
    }

    /// <summary>Asks it to end, so that it cleans up, and ends it by force if that does not help; its workers end with it.</summary>
    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        if (!_process.HasExited)
        {
            Signal(_process.Id, "TERM");
            await _process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(30)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        if (!_process.HasExited)
        {
            Signal(_process.Id, "KILL");
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
    }

    // The address, and the last of the lines that follow it.
    [GeneratedRegex(@"listening on (http://\S+)[\s\S]*/health\s")]
    private static partial Regex Greeting();

    private static void Append(StringBuilder text, string? line)
    {
        if (line is null) return;
        lock (text) text.AppendLine(line);
    }

    private static string Read(StringBuilder text)
    {
        lock (text) return text.ToString();
    }
}

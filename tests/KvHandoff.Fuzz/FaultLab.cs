using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using KvHandoff.Session;

namespace KvHandoff.Fuzz;

/// <summary>Runs cases one after another and sums up what became of them.</summary>
internal sealed class FaultLab
{
    private const int CasesForCoverage = 500, Chunk = 64;

    private readonly LabOptions _options;
    private readonly List<CaseResult> _results = [];
    private readonly StringBuilder _outcomes = new();

    private FaultLab(LabOptions options) => _options = options;

    /// <summary>Every case's outcome, in order.</summary>
    internal IReadOnlyList<CaseResult> Results => _results;

    /// <summary>Equal for two runs of one seed where the transport does not bring in chance.</summary>
    internal string Hash => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(_outcomes.ToString()))[..8]);

    internal TimeSpan Elapsed { get; private set; }

    /// <summary>What is wrong with the run as a whole.</summary>
    internal List<string> Failures { get; } = [];

    internal int Corrupted => _results.Count(r => r.Corrupted);

    internal int Count(HandoffStatus status) => _results.Count(r => r.Sender == status);

    internal static async Task<FaultLab> RunAsync(LabOptions options)
    {
        var lab = new FaultLab(options);
        long started = Stopwatch.GetTimestamp();
        // What the first cases leave behind is the runtime's own.
        int warm = Math.Min(100, options.Cases / 2);
        await lab.RunAsync(0, warm);
        (int, int) before = ProcessUse.Now();
        // In chunks, so that a run that is ended by time keeps its cases in order and without gaps.
        for (int first = warm; first < options.Cases && !(Stopwatch.GetElapsedTime(started) > options.Limit);)
        {
            int count = Math.Min(Chunk, options.Cases - first);
            await lab.RunAsync(first, count);
            first += count;
        }

        lab.Elapsed = Stopwatch.GetElapsedTime(started);
        await lab.JudgeAsync(before);
        return lab;
    }

    // Cases share nothing but the machine: several at once hide each other's waiting.
    private async Task RunAsync(int first, int count)
    {
        var results = new CaseResult[count];
        var turns = new ParallelOptions { MaxDegreeOfParallelism = _options.AtOnce };
        await Parallel.ForEachAsync(Enumerable.Range(0, count), turns, async (i, _) => results[i] = await LabCase.RunAsync(CaseSpec.Draw(_options, _options.First + first + i), _options));
        for (int i = 0; i < count; i++)
        {
            CaseResult result = results[i];
            _results.Add(result);
            _outcomes.Append(result.Spec.Number).Append(' ').Append(result.Outcome).Append('\n');
            if (result.Broken is not { } broken) continue;
            CaseSpec spec = result.Spec;
            _options.Report($"case {spec.Number}, {spec.Kind} {spec.Form}, {spec.Fault} {spec.Script}, {spec.Codec}, resume {spec.Resume.TotalSeconds} s, streams {spec.Streams}, layers before {spec.LayersBefore} of {spec.Source.LayerCount}, {spec.Tokens} tokens: {result.Sender}/{result.Receiver}: {broken}");
        }
    }

    internal JsonObject ToJson()
    {
        var faults = new JsonObject();
        foreach (LabFault fault in Enum.GetValues<LabFault>())
        {
            int count = _results.Where(r => r.Spec.Fault == fault).Sum(r => r.Faults);
            if (fault != LabFault.None) faults[fault.ToString()] = count;
        }

        return new JsonObject
        {
            ["seed"] = _options.Seed,
            ["cases"] = _results.Count,
            ["committed"] = Count(HandoffStatus.Committed),
            ["aborted"] = Count(HandoffStatus.Aborted),
            ["expired"] = Count(HandoffStatus.Expired),
            ["rejected"] = Count(HandoffStatus.Rejected),
            ["corrupted"] = Corrupted,
            ["leaked_blocks"] = _results.Sum(r => r.LeakedBlocks),
            ["not_terminal"] = _results.Count(r => r.NotTerminal),
            ["faults"] = faults,
            ["kinds"] = Counts(r => r.Spec.Kind),
            ["forms"] = Counts(r => r.Spec.Form),
            ["canaries"] = _results.Count(r => r.Spec is { Kind: CaseKind.Group, HasCanary: true }),
            ["transport"] = _options.Transport,
            ["seconds"] = Math.Round(Elapsed.TotalSeconds, 2),
            ["slowest_case_seconds"] = Math.Round(_results.Select(r => r.Elapsed.TotalSeconds).DefaultIfEmpty().Max(), 2),
            ["outcomes"] = Hash,
            ["failures"] = new JsonArray([.. Failures.Select(f => (JsonNode)f)]),
        };
    }

    private JsonObject Counts<T>(Func<CaseResult, T> of) where T : struct, Enum
    {
        var counts = new JsonObject();
        foreach (T value in Enum.GetValues<T>()) counts[value.ToString()] = _results.Count(r => of(r).Equals(value));
        return counts;
    }

    private async Task JudgeAsync((int Threads, int Descriptors) before)
    {
        int broken = _results.Count(r => r.Broken is not null);
        if (broken > 0) Failures.Add($"{broken} of {_results.Count} cases broke a promise; the first: {_results.First(r => r.Broken is not null).Broken}");
        if (_options.WatchesProcess && !await ProcessUse.ReturnsToAsync(before.Threads, before.Descriptors)) Failures.Add($"sessions left {ProcessUse.Now()} threads and descriptors; there were {before}; threads: {string.Join(", ", ProcessUse.Threads())}");
        if (_results.Count < CasesForCoverage || _options.Without != Guards.None) return;
        int least = _results.Count / 100;
        foreach (HandoffStatus end in new[] { HandoffStatus.Committed, HandoffStatus.Aborted, HandoffStatus.Expired, HandoffStatus.Rejected })
        {
            if (Count(end) < least) Failures.Add($"{Count(end)} of {_results.Count} cases ended {end}; at least {least} are asked for");
        }

        foreach (CaseKind kind in Enum.GetValues<CaseKind>())
        {
            int count = _results.Count(r => r.Spec.Kind == kind && r.Sender == HandoffStatus.Committed);
            if (count < least && (kind != CaseKind.InPlace || _options.Transport == "shm")) Failures.Add($"{count} of {_results.Count} cases were {kind} and committed; at least {least} are asked for");
        }

        foreach (CacheForm form in Enum.GetValues<CacheForm>())
        {
            int count = _results.Count(r => r.Spec.Form == form && r.Sender == HandoffStatus.Committed);
            if (count < least) Failures.Add($"{count} of {_results.Count} cases were {form} and committed; at least {least} are asked for");
        }

        foreach (LabFault fault in Enum.GetValues<LabFault>())
        {
            if (fault == LabFault.None || (fault == LabFault.LateWriter && _options.Transport != "shm")) continue;
            int count = _results.Count(r => r.Spec.Fault == fault && r.Faults > 0);
            if (count < least) Failures.Add($"{count} of {_results.Count} cases had {fault}; at least {least} are asked for");
        }
    }
}

/// <summary>Threads of sessions and descriptors that this process has open.</summary>
internal static class ProcessUse
{
    internal static (int Threads, int Descriptors) Now() => (Threads().Count, Directory.GetFileSystemEntries("/proc/self/fd").Length);

    /// <summary>Names of the threads of sessions; those that wait for sockets are the process's own and stay.</summary>
    internal static List<string> Threads()
    {
        var names = new List<string>();
        foreach (string task in Directory.GetDirectories("/proc/self/task"))
        {
            try
            {
                string name = File.ReadAllText(Path.Combine(task, "comm")).TrimEnd();
                if (name.StartsWith("kvhandoff ", StringComparison.Ordinal)) names.Add(name);
            }
            catch (IOException)
            {
                // It ended meanwhile.
            }
        }

        return names;
    }

    /// <summary>Whether no more of either are left than before, within a few seconds.</summary>
    internal static async Task<bool> ReturnsToAsync(int threads, int descriptors)
    {
        for (int i = 0; i < 100; i++)
        {
            (int t, int d) = Now();
            // The runtime itself opens a few as its pool grows; one per case would be far more.
            if (t <= threads && d <= descriptors + 12) return true;
            GC.Collect();
            GC.WaitForPendingFinalizers();
            await Task.Delay(50);
        }

        return false;
    }
}

using System.Globalization;
using KvHandoff.Bench.Evaluation.Endpoint;
using KvHandoff.Bench.Evaluation.Load;
using Spectre.Console;

namespace KvHandoff.Bench.Evaluation;

/// <summary>A table that fills as requests end: a row per load and route. For terminals.</summary>
internal sealed class TerminalProgress(LiveDisplayContext live) : IEvaluationProgress
{
    private static readonly TimeSpan Redraw = TimeSpan.FromMilliseconds(250);
    private readonly Lock _lock = new();
    private readonly List<Row> _rows = [];
    private long _drawn;
    private string _step = "starting";

    private sealed class Row(string load, string route, int requests)
    {
        internal string Load => load;

        internal string Route => route;

        internal int Requests => requests;

        internal int Ok, Failed, Retries;
        internal double FirstToken, Latency, Speed;
        internal int FirstTokens, Speeds;
    }

    public void Step(string text)
    {
        lock (_lock)
        {
            _step = text;
            Draw();
        }
    }

    public void LoadStarted(LoadSpec load, string route, int requests)
    {
        lock (_lock)
        {
            _rows.Add(new Row(load.Name, route, requests));
            _step = $"{load.Name} runs";
            Draw();
        }
    }

    public void RequestEnded(LoadSpec load, RequestRecord record)
    {
        if (record.Phase != Outcomes.Measured) return;
        lock (_lock)
        {
            if (_rows.FindLast(r => r.Load == load.Name && r.Route == record.Route) is not { } row) return;
            row.Retries += Math.Max(0, record.Attempts.Count - 1);
            if (record.Outcome == Outcomes.Ok)
            {
                row.Ok++;
                row.Latency += record.Client.LatencySeconds ?? 0;
                if (record.Client.FirstTokenSeconds is { } first) (row.FirstToken, row.FirstTokens) = (row.FirstToken + first, row.FirstTokens + 1);
                if (record.Client.OutputSpeed is { } speed) (row.Speed, row.Speeds) = (row.Speed + speed, row.Speeds + 1);
            }
            else row.Failed++;

            if (System.Diagnostics.Stopwatch.GetElapsedTime(_drawn) >= Redraw) Draw();
        }
    }

    public void LoadEnded(LoadSection section)
    {
        lock (_lock) Draw();
    }

    /// <summary>Runs a job under the live table.</summary>
    internal static async Task<T> RunAsync<T>(IAnsiConsole console, Func<IEvaluationProgress, Task<T>> job) =>
        await console.Live(new Text("starting")).AutoClear(true).StartAsync(live => job(new TerminalProgress(live)));

    private void Draw()
    {
        _drawn = System.Diagnostics.Stopwatch.GetTimestamp();
        var table = new Table { Border = TableBorder.Rounded, Caption = new TableTitle(Markup.Escape(_step)) };
        foreach (string column in (ReadOnlySpan<string>)["load", "route", "done", "failed", "retries", "mean TTFT ms", "mean latency s", "mean tok/s"]) table.AddColumn(column);
        foreach (Row r in _rows)
        {
            string Mean(double sum, int count, double scale, string format) => count == 0 ? "-" : (sum / count * scale).ToString(format, CultureInfo.InvariantCulture);
            table.AddRow(Markup.Escape(r.Load), Markup.Escape(r.Route), $"{r.Ok + r.Failed} of {r.Requests}", $"{r.Failed}", $"{r.Retries}", Mean(r.FirstToken, r.FirstTokens, 1e3, "0.0"), Mean(r.Latency, r.Ok, 1, "0.000"), Mean(r.Speed, r.Speeds, 1, "0.0"));
        }

        live.UpdateTarget(table);
    }
}

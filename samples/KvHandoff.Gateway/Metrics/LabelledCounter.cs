using System.Collections.Concurrent;
using System.Globalization;
using System.Text;

namespace KvHandoff.Gateway.Metrics;

/// <summary>A counter per combination of labels. The values are the program's own words, so that their number stays bounded. Thread-safe.</summary>
internal sealed class LabelledCounter(string name, string help, params string[] labels)
{
    private readonly ConcurrentDictionary<string, StrongBox> _values = new();

    internal void Add(long amount, params ReadOnlySpan<string> values)
    {
        var key = new StringBuilder();
        for (int i = 0; i < labels.Length; i++) key.Append(i == 0 ? "" : ",").Append(labels[i]).Append("=\"").Append(PrometheusText.Escape(values[i])).Append('"');
        Interlocked.Add(ref _values.GetOrAdd(key.ToString(), static _ => new StrongBox()).Value, amount);
    }

    internal void Write(StringBuilder text)
    {
        text.Append(CultureInfo.InvariantCulture, $"# HELP {name} {help}\n# TYPE {name} counter\n");
        if (labels.Length == 0 && _values.IsEmpty) text.Append(CultureInfo.InvariantCulture, $"{name} 0\n");
        foreach ((string key, StrongBox value) in _values.OrderBy(v => v.Key, StringComparer.Ordinal))
            text.Append(name).Append(key.Length == 0 ? "" : "{" + key + "}").Append(CultureInfo.InvariantCulture, $" {Interlocked.Read(ref value.Value)}\n");
    }

    private sealed class StrongBox
    {
        internal long Value;
    }
}

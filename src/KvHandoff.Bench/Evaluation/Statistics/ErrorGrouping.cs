namespace KvHandoff.Bench.Evaluation.Statistics;

/// <summary>Failures by label, most frequent first, with sample messages.</summary>
internal static class ErrorGrouping
{
    private const int MostMessages = 5;

    internal static IReadOnlyList<ErrorGroup> Of(IEnumerable<RequestError> errors) =>
        [.. errors.GroupBy(e => e.Label, StringComparer.Ordinal).Select(g => new ErrorGroup { Label = g.Key, Count = g.Count(), Messages = [.. g.Select(e => e.Message).Distinct().Take(MostMessages)] }).OrderByDescending(g => g.Count).ThenBy(g => g.Label, StringComparer.Ordinal)];
}

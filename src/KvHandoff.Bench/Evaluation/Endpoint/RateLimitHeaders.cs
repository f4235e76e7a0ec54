using System.Globalization;
using System.Net.Http.Headers;

namespace KvHandoff.Bench.Evaluation.Endpoint;

/// <summary>The x-ratelimit-* headers of a reply, whichever families and units a server has.</summary>
internal static class RateLimitHeaders
{
    internal const string Prefix = "x-ratelimit-";
    private const int Most = 32, MostNameLength = 64;

    /// <summary>Numbers by their names without the prefix. Resets are seconds, whether written as a number (11.38) or as a duration (6m0.5s).</summary>
    internal static IReadOnlyDictionary<string, double> Read(HttpResponseHeaders headers)
    {
        var limits = new SortedDictionary<string, double>(StringComparer.Ordinal);
        foreach ((string header, HeaderStringValues values) in headers.NonValidated)
        {
            string name = header.ToLowerInvariant();
            if (!name.StartsWith(Prefix, StringComparison.Ordinal) || name.Length > MostNameLength || limits.Count >= Most) continue;
            if (ParseDuration(values.ToString()) is { } number) limits[name[Prefix.Length..]] = number;
        }

        return limits;
    }

    /// <summary>Seconds, as a number without a unit or as parts with units ms, s, m, h and d; null when it is neither.</summary>
    internal static double? ParseDuration(string text)
    {
        const NumberStyles Style = NumberStyles.AllowDecimalPoint | NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite;
        const double Most = 1e15;
        if (double.TryParse(text, Style, CultureInfo.InvariantCulture, out double plain)) return plain <= Most ? plain : null;
        ReadOnlySpan<char> rest = text.AsSpan().Trim();
        double seconds = 0;
        if (rest.IsEmpty) return null;
        while (!rest.IsEmpty)
        {
            int digits = rest.IndexOfAnyExcept("0123456789.");
            if (digits <= 0 || !double.TryParse(rest[..digits], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double part)) return null;
            rest = rest[digits..];
            (double scale, int length) = rest switch
            {
                ['m', 's', ..] => (1e-3, 2),
                ['u', 's', ..] or ['µ', 's', ..] => (1e-6, 2),
                ['n', 's', ..] => (1e-9, 2),
                ['s', ..] => (1d, 1),
                ['m', ..] => (60d, 1),
                ['h', ..] => (3600d, 1),
                ['d', ..] => (86400d, 1),
                _ => (0d, 0),
            };
            if (length == 0) return null;
            seconds += part * scale;
            rest = rest[length..];
        }

        return seconds <= Most ? seconds : null;
    }
}

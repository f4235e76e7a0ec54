namespace KvHandoff.Bench.Charts;

/// <summary>Patterns over a colour.</summary>
internal enum Hatch
{
    None, Rising, Falling, Level, Upright, Dotted,
}

/// <summary>The patterns as SVG.</summary>
internal static class HatchPattern
{
    internal static string Define(string id, Hatch hatch)
    {
        (string turn, string shape) = hatch switch
        {
            Hatch.Rising => (" patternTransform=\"rotate(45)\"", "<line class=\"stripe\" x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\" />"),
            Hatch.Falling => (" patternTransform=\"rotate(-45)\"", "<line class=\"stripe\" x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\" />"),
            Hatch.Level => ("", "<line class=\"stripe\" x1=\"0\" y1=\"3\" x2=\"6\" y2=\"3\" />"),
            Hatch.Upright => ("", "<line class=\"stripe\" x1=\"3\" y1=\"0\" x2=\"3\" y2=\"6\" />"),
            _ => ("", "<circle class=\"dot\" cx=\"3\" cy=\"3\" r=\"1.2\" />"),
        };
        return $"<pattern id=\"{id}\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"{turn}>{shape}</pattern>";
    }
}

namespace KvHandoff.Bench.Catalogue;

/// <summary>A number and where it is from; without a source no figure enters the catalogue.</summary>
/// <param name="Value">In the unit that the field's name says.</param>
/// <param name="Source">Document, measurement, computation, or "assumption: ..." with its reason.</param>
internal readonly record struct Figure(double Value, string Source)
{
    public static implicit operator double(Figure figure) => figure.Value;
}

/// <summary>A share of peak that depends on the prompt's length, straight lines between measured points over the logarithm of tokens.</summary>
/// <param name="Points">Tokens and share, ascending.</param>
/// <param name="Source">Where they were measured.</param>
internal sealed record FigureCurve(IReadOnlyList<(double Tokens, double Value)> Points, string Source)
{
    internal double At(double tokens)
    {
        if (tokens <= Points[0].Tokens) return Points[0].Value;
        for (int i = 1; i < Points.Count; i++)
        {
            if (tokens > Points[i].Tokens) continue;
            double along = Math.Log(tokens / Points[i - 1].Tokens) / Math.Log(Points[i].Tokens / Points[i - 1].Tokens);
            return Points[i - 1].Value + along * (Points[i].Value - Points[i - 1].Value);
        }

        return Points[^1].Value;
    }
}

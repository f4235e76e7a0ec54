namespace KvHandoff.Bench.Catalogue;

/// <summary>How layers of a model attend, and so what they keep per token.</summary>
internal enum AttentionKind
{
    /// <summary>K and V of every token.</summary>
    Full,

    /// <summary>K and V of the last tokens of a window.</summary>
    Sliding,

    /// <summary>One latent vector and one RoPE key per token, shared by K and V of all heads (MLA).</summary>
    Latent,
}

/// <summary>Layers of one kind.</summary>
/// <param name="Count">Layers.</param>
/// <param name="KvHeads">Heads that K and V have; 1 where latent.</param>
/// <param name="HeadDim">Elements of one head's row; of latent layers the latent and the RoPE part together.</param>
/// <param name="WindowTokens">Of sliding layers; otherwise <see cref="int.MaxValue"/>.</param>
/// <param name="QkDim">Elements of a query and a key in the dot product.</param>
/// <param name="VDim">Elements of a value.</param>
internal sealed record LayerGeometry(int Count, AttentionKind Kind, int QueryHeads, int KvHeads, int HeadDim, int WindowTokens, int QkDim, int VDim, string Source)
{
    internal int Planes => Kind == AttentionKind.Latent ? 1 : 2;

    /// <summary>Elements that one token keeps in one layer.</summary>
    internal long ElementsPerToken => (long)Planes * KvHeads * HeadDim;
}

/// <summary>What the cost model needs to know of a model.</summary>
/// <param name="Parameters">All weights.</param>
/// <param name="LinearParameters">Weights that one token multiplies with: without the embedding table, and of experts only the chosen ones.</param>
internal sealed record ModelGeometry(string Name, string Title, IReadOnlyList<string> Aliases, IReadOnlyList<LayerGeometry> Layers, Figure Parameters, Figure LinearParameters, Figure MaxContextTokens)
{
    internal int LayerCount { get; } = Layers.Sum(l => l.Count);

    internal static ModelGeometry Read(CatalogueFields fields)
    {
        fields.Only("name", "title", "aliases", "layers", "parameters", "linear_parameters", "max_context_tokens");
        LayerGeometry[] layers = [.. fields.Objects("layers").Select(ReadLayer)];
        if (layers.Length == 0) throw fields.Refused(fields.At("layers"), "empty", "at least one object with count, attention, query_heads, kv_heads, head_dim, source");
        var model = new ModelGeometry(fields.Text("name"), fields.Text("title"), fields.Texts("aliases"), layers, fields.Figure("parameters", 1, 1e15), fields.Figure("linear_parameters", 1, 1e15), fields.Figure("max_context_tokens", 1, 1e9));
        return model;
    }

    private static LayerGeometry ReadLayer(CatalogueFields f)
    {
        f.Only("count", "attention", "query_heads", "kv_heads", "head_dim", "window_tokens", "latent_dim", "rope_dim", "qk_dim", "v_dim", "source");
        const int Most = 1 << 20;
        string kind = f.Choice("attention", "full", "sliding", "latent");
        int count = f.Whole("count", 1, 10_000), heads = f.Whole("query_heads", 1, Most);
        if (kind == "latent")
        {
            int row = f.Whole("latent_dim", 1, Most) + f.Whole("rope_dim", 0, Most);
            return new LayerGeometry(count, AttentionKind.Latent, heads, 1, row, int.MaxValue, f.Whole("qk_dim", 1, Most), f.Whole("v_dim", 1, Most), f.Text("source"));
        }

        int dim = f.Whole("head_dim", 1, Most), window = kind == "sliding" ? f.Whole("window_tokens", 1, int.MaxValue) : int.MaxValue;
        return new LayerGeometry(count, kind == "sliding" ? AttentionKind.Sliding : AttentionKind.Full, heads, f.Whole("kv_heads", 1, heads), dim, window, f.Whole("qk_dim", 1, Most, dim), f.Whole("v_dim", 1, Most, dim), f.Text("source"));
    }
}

using System.Globalization;

namespace KvHandoff.Bench.Catalogue;

/// <summary>A model's geometry from the <c>config.json</c> of its Hugging Face repository: dense and expert models, grouped, sliding and latent attention.</summary>
internal static class HuggingFaceConfig
{
    private const int Most = 1 << 24;

    /// <exception cref="InvalidDataException">A field is missing or wrong; the message names file, field, value and what is allowed.</exception>
    internal static ModelGeometry Read(string file, string json)
    {
        CatalogueFields root = CatalogueFields.Parse(file, json);
        // Models with vision keep the language model's fields one level down.
        CatalogueFields f = root.Has("text_config") ? root.Object("text_config") : root;
        int layers = f.Whole("num_hidden_layers", 1, 10_000), hidden = f.Whole("hidden_size", 1, Most), heads = f.Whole("num_attention_heads", 1, Most);
        string source = $"{Path.GetFileName(file)}";
        bool isLatent = f.Has("kv_lora_rank");
        LayerGeometry[] groups = isLatent ? [Latent(f, layers, heads, source)] : [.. Grouped(f, layers, hidden, heads, source)];
        double embedding = (double)f.Whole("vocab_size", 1, 1 << 28, 1) * hidden, head = f.Has("tie_word_embeddings") && f.Flag("tie_word_embeddings") ? 0 : embedding;
        double attention = isLatent ? LatentWeights(f, hidden, heads, groups[0]) : groups.Sum(g => g.Count * (2.0 * hidden * g.QueryHeads * g.HeadDim + 2.0 * hidden * g.KvHeads * g.HeadDim)) / layers;
        (double all, double active) = FeedForward(f, layers, hidden);
        string name = Name(file, f);
        return new ModelGeometry(name, name, [], groups,
            new Figure(embedding + head + layers * attention + all, $"computed from {source}"),
            new Figure(layers * attention + active, $"computed from {source}: without embeddings, of experts the chosen ones"),
            new Figure(f.Whole("max_position_embeddings", 1, int.MaxValue, 131_072), $"{source}: max_position_embeddings"));
    }

    private static LayerGeometry Latent(CatalogueFields f, int layers, int heads, string source)
    {
        int rope = f.Whole("qk_rope_head_dim", 0, Most), nope = f.Whole("qk_nope_head_dim", 1, Most);
        return new LayerGeometry(layers, AttentionKind.Latent, heads, 1, f.Whole("kv_lora_rank", 1, Most) + rope, int.MaxValue, nope + rope, f.Whole("v_head_dim", 1, Most), source);
    }

    private static IEnumerable<LayerGeometry> Grouped(CatalogueFields f, int layers, int hidden, int heads, string source)
    {
        int kvHeads = f.Whole("num_key_value_heads", 1, heads, heads);
        if (!f.Has("head_dim") && hidden % heads != 0) throw f.Refused(f.At("hidden_size"), hidden.ToString(CultureInfo.InvariantCulture), $"a multiple of num_attention_heads {heads}, or a head_dim");
        int dim = f.Whole("head_dim", 1, Most, hidden / heads), sliding = SlidingLayers(f, layers);
        if (layers > sliding) yield return new LayerGeometry(layers - sliding, AttentionKind.Full, heads, kvHeads, dim, int.MaxValue, dim, dim, source);
        if (sliding > 0) yield return new LayerGeometry(sliding, AttentionKind.Sliding, heads, kvHeads, dim, f.Whole("sliding_window", 1, int.MaxValue), dim, dim, source);
    }

    private static int SlidingLayers(CatalogueFields f, int layers)
    {
        IReadOnlyList<string> kinds = f.Texts("layer_types");
        if (kinds.Count > 0)
        {
            if (kinds.Count != layers) throw f.Refused(f.At("layer_types"), $"{kinds.Count} entries", $"num_hidden_layers {layers} entries");
            if (kinds.FirstOrDefault(k => k is not ("full_attention" or "sliding_attention")) is { } other) throw f.Refused(f.At("layer_types"), $"\"{other}\"", "full_attention, sliding_attention");
            return kinds.Count(k => k == "sliding_attention");
        }

        if (!f.Has("sliding_window") || (f.Has("use_sliding_window") && !f.Flag("use_sliding_window"))) return 0;
        // Gemma writes which layer of how many sees everything.
        if (f.Has("sliding_window_pattern")) return layers - layers / f.Whole("sliding_window_pattern", 1, layers);
        return layers;
    }

    // Per layer: query and key/value down-projections, up-projections per head, and the output.
    private static double LatentWeights(CatalogueFields f, int hidden, int heads, LayerGeometry g)
    {
        double latent = f.Whole("kv_lora_rank", 1, Most), rope = g.HeadDim - latent, queries = (double)heads * g.QkDim;
        double query = f.Has("q_lora_rank") ? f.Whole("q_lora_rank", 1, Most) * (hidden + queries) : hidden * queries;
        return query + hidden * (latent + rope) + latent * heads * (g.QkDim - rope + g.VDim) + (double)heads * g.VDim * hidden;
    }

    private static (double All, double Active) FeedForward(CatalogueFields f, int layers, int hidden)
    {
        string? field = new[] { "n_routed_experts", "num_local_experts", "num_experts" }.FirstOrDefault(f.Has);
        double dense = f.Has("intermediate_size") ? 3.0 * hidden * f.Whole("intermediate_size", 1, Most) : 0;
        if (field is null || f.Whole(field, 0, Most) == 0)
        {
            if (dense == 0) throw f.Refused(f.At("intermediate_size"), "missing", $"a whole number from 1 to {Most}");
            return (layers * dense, layers * dense);
        }

        int experts = f.Whole(field, 1, Most), chosen = f.Whole("num_experts_per_tok", 1, experts), shared = f.Whole("n_shared_experts", 0, Most, 0), denseLayers = f.Whole("first_k_dense_replace", 0, layers, 0);
        double expert = 3.0 * hidden * f.Whole("moe_intermediate_size", 1, Most, f.Whole("intermediate_size", 1, Most, 1)), router = (double)hidden * experts;
        double all = denseLayers * dense + (layers - denseLayers) * ((experts + shared) * expert + router), active = denseLayers * dense + (layers - denseLayers) * ((chosen + shared) * expert + router);
        return (all, active);
    }

    private static string Name(string file, CatalogueFields f)
    {
        if (f.Has("_name_or_path")) return f.Text("_name_or_path");
        string? directory = Path.GetFileName(Path.GetDirectoryName(Path.GetFullPath(file)));
        return string.IsNullOrEmpty(directory) ? Path.GetFileName(file) : directory;
    }
}

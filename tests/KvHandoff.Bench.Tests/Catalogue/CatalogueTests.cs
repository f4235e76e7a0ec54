using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.CostModel;

namespace KvHandoff.Bench.Tests.Catalogue;

/// <summary>The shipped catalogue, a user's own, and what is said of a wrong one.</summary>
public sealed class CatalogueTests
{
    private static readonly HardwareCatalogue Shipped = HardwareCatalogue.Default();

    [Fact]
    public void Everything_that_a_planner_asks_for_ships()
    {
        Assert.Superset(new HashSet<string> { "llama-3.1-8b", "llama-3.3-70b", "llama-3.1-70b", "llama-3.1-405b", "deepseek-v3", "deepseek-r1", "kimi-k2", "qwen3-235b-a22b", "gpt-oss-120b", "reference" }, Shipped.Models.Keys.ToHashSet());
        Assert.Superset(new HashSet<string> { "trn2-16", "trn3-16", "trn3-144", "cs3-1", "cs3-4", "h100-8", "h200-8", "b200-8" }, Shipped.Nodes.Keys.ToHashSet());
        Assert.Superset(new HashSet<string> { "10G", "25G", "100G", "400G", "800G", "1.2T", "3.2T", "efa-3.2T" }, Shipped.Links.Keys.ToHashSet());
        Assert.Equal(44e9, Shipped.Nodes["cs3-1"].Accelerator.MemoryBytes.Value);
        Assert.Equal(21e15, Shipped.Nodes["cs3-1"].Accelerator.MemoryBytesPerSecond.Value);
        Assert.Equal(1.2e12, Shipped.Nodes["cs3-1"].NetworkBitsPerSecond.Value);
    }

    [Fact]
    public void The_reference_model_is_as_its_own_config_says()
    {
        string file = Path.Combine(AppContext.BaseDirectory, "models", "llama-bytes-5m", "config.json");
        ModelGeometry read = HuggingFaceConfig.Read(file, File.ReadAllText(file)), shipped = Shipped.Models["reference"];
        Assert.Equal(KvSize.BytesPerToken(shipped, 2), KvSize.BytesPerToken(read, 2));
        Assert.InRange(read.Parameters / shipped.Parameters, 0.999, 1.001);
        Assert.InRange(read.LinearParameters / shipped.LinearParameters, 0.999, 1.001);
    }

    // What the published configs say, beside what the model cards say: geometry exactly, parameters within a few percent; active ones of
    // expert models are published with the embeddings in them.
    [Theory]
    [InlineData("llama-3.3-70b", """{"hidden_size":8192,"num_hidden_layers":80,"num_attention_heads":64,"num_key_value_heads":8,"intermediate_size":28672,"vocab_size":128256,"tie_word_embeddings":false,"max_position_embeddings":131072}""", 0.02)]
    [InlineData("llama-3.1-405b", """{"hidden_size":16384,"num_hidden_layers":126,"num_attention_heads":128,"num_key_value_heads":8,"intermediate_size":53248,"vocab_size":128256,"max_position_embeddings":131072}""", 0.02)]
    [InlineData("deepseek-v3", """{"hidden_size":7168,"num_hidden_layers":61,"num_attention_heads":128,"num_key_value_heads":128,"q_lora_rank":1536,"kv_lora_rank":512,"qk_nope_head_dim":128,"qk_rope_head_dim":64,"v_head_dim":128,"intermediate_size":18432,"moe_intermediate_size":2048,"n_routed_experts":256,"n_shared_experts":1,"num_experts_per_tok":8,"first_k_dense_replace":3,"vocab_size":129280,"max_position_embeddings":163840}""", 0.04)]
    [InlineData("kimi-k2", """{"hidden_size":7168,"num_hidden_layers":61,"num_attention_heads":64,"q_lora_rank":1536,"kv_lora_rank":512,"qk_nope_head_dim":128,"qk_rope_head_dim":64,"v_head_dim":128,"intermediate_size":18432,"moe_intermediate_size":2048,"n_routed_experts":384,"n_shared_experts":1,"num_experts_per_tok":8,"first_k_dense_replace":1,"vocab_size":163840,"max_position_embeddings":131072}""", 0.07)]
    [InlineData("qwen3-235b-a22b", """{"hidden_size":4096,"num_hidden_layers":94,"num_attention_heads":64,"num_key_value_heads":4,"head_dim":128,"intermediate_size":12288,"moe_intermediate_size":1536,"num_experts":128,"num_experts_per_tok":8,"vocab_size":151936,"use_sliding_window":false,"sliding_window":4096,"max_position_embeddings":131072}""", 0.06)]
    [InlineData("gpt-oss-120b", """{"hidden_size":2880,"num_hidden_layers":4,"num_attention_heads":64,"num_key_value_heads":8,"head_dim":64,"intermediate_size":2880,"num_local_experts":128,"num_experts_per_tok":4,"vocab_size":201088,"sliding_window":128,"layer_types":["sliding_attention","full_attention","sliding_attention","full_attention"],"max_position_embeddings":131072}""", double.NaN)]
    public void A_config_of_Hugging_Face_gives_the_geometry(string name, string json, double tolerance)
    {
        ModelGeometry shipped = Shipped.Models[name], read = HuggingFaceConfig.Read("config.json", json);
        Assert.Equal(shipped.MaxContextTokens.Value, read.MaxContextTokens.Value);
        double layers = (double)shipped.LayerCount / read.LayerCount;
        foreach (double tokens in new[] { 1.0, 100, 128, 129, 5000 }) Assert.Equal(KvSize.Bytes(shipped, tokens, 2), layers * KvSize.Bytes(read, tokens, 2));
        if (double.IsNaN(tolerance)) return;
        Assert.InRange(read.Parameters / shipped.Parameters, 1 - tolerance, 1 + tolerance);
        Assert.InRange(read.LinearParameters / shipped.LinearParameters, 1 - tolerance, 1 + tolerance);
        // Attention's share of the operations too.
        double Attention(ModelGeometry m) => PrefillTime.Flops(m, 100_000) - 2 * m.LinearParameters * 100_000;
        Assert.InRange(Attention(read) / Attention(shipped), 0.9999, 1.0001);
    }

    [Fact]
    public void A_users_entry_takes_the_place_of_a_shipped_one_and_may_build_on_it()
    {
        HardwareCatalogue catalogue = HardwareCatalogue.Default();
        catalogue.Add("mine.json", """
            {"schema":"kvhandoff.catalogue/1",
             "nodes":[{"name":"lab","title":"lab","accelerator":"h100","count":2,"network_bits_per_second":{"value":1e11,"source":"rack"},"utilisation":{"value":0.5,"source":"measured"},
                       "prefill_floor_seconds":{"value":0.02,"source":"measured"},"decode_layer_seconds":{"value":1e-4,"source":"measured"},"usable_memory_share":{"value":0.8,"source":"measured"}}],
             "links":[{"name":"100G","title":"our switch","bits_per_second":{"value":1e11,"source":"rack"},"efficiency":{"value":0.9,"source":"iperf3"},"message_seconds":{"value":2e-5,"source":"measured"}}]}
            """);
        Assert.Equal(128e9, catalogue.Nodes["lab"].MemoryBytes);
        Assert.Equal(0.9, catalogue.Links["100G"].Efficiency.Value);
        Assert.Equal("iperf3", catalogue.Links["100G"].Efficiency.Source);
        Assert.Equal(1, Shipped.Links["100G"].Efficiency.Value);
    }

    [Theory]
    [InlineData("""{"schema":"kvhandoff.catalogue/2"}""", "schema", "kvhandoff.catalogue/2", "kvhandoff.catalogue/1")]
    [InlineData("""{"schema":"kvhandoff.catalogue/1","modles":[]}""", "modles", "[]", "models, accelerators")]
    [InlineData("""{"schema":"kvhandoff.catalogue/1","models":[{"name":"x"}]}""", "models[0].layers", "empty", "at least one object")]
    [InlineData("""{"schema":"kvhandoff.catalogue/1","models":[{"name":"x","title":"x","layers":[{"count":2,"attention":"full","query_heads":8,"kv_heads":16,"head_dim":64,"source":"s"}]}]}""", "models[0].layers[0].kv_heads", "16", "from 1 to 8")]
    [InlineData("""{"schema":"kvhandoff.catalogue/1","models":[{"name":"x","title":"x","layers":[{"count":2,"attention":"mamba","query_heads":8,"source":"s"}]}]}""", "models[0].layers[0].attention", "mamba", "full, sliding, latent")]
    [InlineData("""{"schema":"kvhandoff.catalogue/1","links":[{"name":"x","title":"x","bits_per_second":1e9}]}""", "links[0].bits_per_second", "1e9", "value and source")]
    [InlineData("""{"schema":"kvhandoff.catalogue/1","links":[{"name":"x","title":"x","bits_per_second":{"value":1e9}}]}""", "links[0].bits_per_second.source", "missing", "a text")]
    [InlineData("""{"schema":"kvhandoff.catalogue/1","links":[{"name":"x","title":"x","bits_per_second":{"value":-1,"source":"s"}}]}""", "links[0].bits_per_second.value", "-1", "from 1 to 1E+18")]
    [InlineData("""{"schema":"kvhandoff.catalogue/1","nodes":[{"name":"x","accelerator":"tpu"}]}""", "nodes[0].accelerator", "tpu", "name of an accelerator")]
    [InlineData("""[1]""", "the whole", "[1]", "an object")]
    [InlineData("""{"schema":""", "line 1", "no JSON", "")]
    public void A_wrong_file_is_refused_with_file_field_value_and_what_is_allowed(string json, string field, string value, string allowed)
    {
        string message = Assert.Throws<InvalidDataException>(() => HardwareCatalogue.Default().Add("mine.json", json)).Message;
        Assert.StartsWith("mine.json: ", message, StringComparison.Ordinal);
        Assert.Contains(field, message, StringComparison.Ordinal);
        Assert.Contains(value, message, StringComparison.Ordinal);
        Assert.Contains(allowed, message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }

    [Theory]
    [InlineData("""{"hidden_size":100}""", "num_hidden_layers", "missing")]
    [InlineData("""{"num_hidden_layers":2,"hidden_size":100,"num_attention_heads":7,"intermediate_size":8}""", "hidden_size", "multiple of num_attention_heads 7")]
    [InlineData("""{"num_hidden_layers":2,"hidden_size":64,"num_attention_heads":4,"num_key_value_heads":9,"intermediate_size":8}""", "num_key_value_heads", "from 1 to 4")]
    [InlineData("""{"num_hidden_layers":2,"hidden_size":64,"num_attention_heads":4,"layer_types":["full_attention","mamba"],"intermediate_size":8}""", "layer_types", "full_attention, sliding_attention")]
    [InlineData("""{"num_hidden_layers":2,"hidden_size":64,"num_attention_heads":4,"num_experts":8}""", "num_experts_per_tok", "from 1 to 8")]
    public void A_wrong_config_is_refused_the_same_way(string json, string field, string allowed)
    {
        string message = Assert.Throws<InvalidDataException>(() => HuggingFaceConfig.Read("config.json", json)).Message;
        Assert.Contains("config.json", message, StringComparison.Ordinal);
        Assert.Contains(field, message, StringComparison.Ordinal);
        Assert.Contains(allowed, message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("100G", 100e9)]
    [InlineData("1.2T", 1.2e12)]
    [InlineData("3200", 3200e9)]
    [InlineData("37.5g", 37.5e9)]
    public void A_link_may_be_a_rate(string text, double bits) => Assert.Equal(bits, Shipped.FindLink(text)!.BitsPerSecond.Value);

    [Theory]
    [InlineData("")]
    [InlineData("G")]
    [InlineData("0G")]
    [InlineData("-5G")]
    [InlineData("fast")]
    [InlineData("1e400")]
    public void What_is_no_rate_is_no_link(string text) => Assert.Null(Shipped.FindLink(text));
}

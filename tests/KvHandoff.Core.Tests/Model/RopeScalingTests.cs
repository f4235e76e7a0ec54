using KvHandoff.Model;

namespace KvHandoff.Core.Tests.Model;

public class RopeScalingTests
{
    /// <summary>The rule as the Llama 3.1 model card's code states it, in the form with wavelength thresholds first.</summary>
    internal static double Published(double frequency, double factor, double low, double high, double original)
    {
        double lowWavelength = original / low, highWavelength = original / high, wavelength = 2 * Math.PI / frequency;
        if (wavelength < highWavelength) return frequency;
        if (wavelength > lowWavelength) return frequency / factor;
        double smooth = (original / wavelength - low) / (high - low);
        return (1 - smooth) * (frequency / factor) + smooth * frequency;
    }

    [Fact]
    public void Llama31_frequencies_follow_the_published_rule_in_all_three_bands()
    {
        var scaling = new Llama3RopeScaling(8, 1, 4, 8192);
        LlamaConfig config = Config(scaling);
        double[] actual = RotaryEmbedding.InverseFrequencies(config);
        int kept = 0, blended = 0, divided = 0;
        for (int i = 0; i < 64; i++)
        {
            double plain = Math.Exp(-Math.Log(500_000) * i / 64);
            double expected = Published(plain, 8, 1, 4, 8192);
            Assert.Equal(expected, actual[i], expected * 1e-12);
            if (expected == plain) kept++;
            else if (Math.Abs(expected - plain / 8) < 1e-15) divided++;
            else blended++;
        }

        // Wavelengths 2 pi 500000^(i/64) pass 2048 at i = 28.2 and 8192 at i = 34.98.
        Assert.Equal((29, 6, 29), (kept, blended, divided));
    }

    [Fact]
    public void The_bands_meet_without_a_jump()
    {
        var scaling = new Llama3RopeScaling(8, 1, 4, 8192);
        foreach (double wavelength in new[] { 2048.0, 8192.0 })
        {
            double below = scaling.Scale(2 * Math.PI / (wavelength * (1 - 1e-9))), above = scaling.Scale(2 * Math.PI / (wavelength * (1 + 1e-9)));
            Assert.Equal(below, above, below * 1e-7);
        }
    }

    [Fact]
    public void Identity_text_tells_scalings_apart()
    {
        Assert.Equal("llama3 factor=8 low=1 high=4 original=8192", new Llama3RopeScaling(8, 1, 4, 8192).ToString());
        Assert.NotEqual(new Llama3RopeScaling(32, 1, 4, 8192).ToString(), new Llama3RopeScaling(8, 1, 4, 8192).ToString());
    }

    private static LlamaConfig Config(Llama3RopeScaling scaling) => new()
    {
        Name = "m",
        HiddenSize = 128,
        Layers = 1,
        QueryHeads = 1,
        KvHeads = 1,
        HeadDim = 128,
        IntermediateSize = 1,
        VocabularySize = 1,
        RmsNormEpsilon = 1e-5f,
        RopeTheta = 500_000,
        RopeScaling = scaling,
        MaxPositions = 131_072,
    };
}

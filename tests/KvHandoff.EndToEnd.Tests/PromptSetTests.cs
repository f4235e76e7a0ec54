using KvHandoff.Bench.Prompts;

namespace KvHandoff.EndToEnd.Tests;

/// <summary>The texts are the shipped ones, byte for byte.</summary>
public sealed class PromptSetTests
{
    [Fact]
    public void All_texts_have_their_hash_and_the_longest_job_fits_the_stated_length()
    {
        Assert.All(PromptSet.Shapes, shape => Assert.NotEmpty(PromptSet.Load(shape)));
        Assert.True(PromptSet.Load(PromptSet.HeldOut).Length > 2048 + 512);
        Assert.Equal(4880, PromptSet.Shapes.Max(shape => PromptSet.Load(shape).Length + shape.CompletionTokens));
    }

    [Fact]
    public void A_changed_text_is_refused_with_both_hashes()
    {
        using var scratch = new ScratchDirectory();
        PromptShape shape = PromptSet.Shapes[0];
        byte[] text = PromptSet.Load(shape);
        text[3] ^= 1;
        File.WriteAllBytes(scratch.File(shape.FileName), text);
        InvalidDataException error = Assert.Throws<InvalidDataException>(() => PromptSet.Load(shape, scratch.FullName));
        Assert.Contains(shape.Sha256, error.Message, StringComparison.Ordinal);
        Assert.Contains(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(text)), error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_text_is_named()
    {
        using var scratch = new ScratchDirectory();
        InvalidDataException error = Assert.Throws<InvalidDataException>(() => PromptSet.Load(PromptSet.HeldOut, scratch.FullName));
        Assert.Contains("held-out.txt", error.Message, StringComparison.Ordinal);
    }
}

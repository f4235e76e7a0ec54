using KvHandoff.Core.Tests.Numerics;
using KvHandoff.Layout;

namespace KvHandoff.Core.Tests.Layout;

/// <summary>Every length, at every alignment, between pages that fault: the same bytes as one copy after the other, and no other touched.</summary>
public class ChunkedRowsTests
{
    private const byte Poison = 0xC3;
    private const int Heads = 2;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(16)]
    [InlineData(8)]
    public void Rows_of_any_length_and_any_range_of_tokens_move_as_the_definition_says(int chunk)
    {
        var random = new Random(chunk);
        int[] chunksPerRow = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 64, 67, 128], blocks = [1, 2, 3, 4, 7, 8, 15, 16, 17, 32, 33, 64, 70];
        foreach (int count in chunksPerRow)
        {
            foreach (int blockTokens in blocks)
            {
                int rowBytes = count * chunk;
                var geometry = new PlaneGeometry(0, blockTokens * rowBytes, chunk, chunk, blockTokens * chunk);
                foreach (int tokens in Counts(blockTokens, random)) Check(geometry, random.Next(Heads), random.Next(blockTokens - tokens + 1), tokens, rowBytes, Heads * blockTokens * rowBytes, random);
            }
        }
    }

    [Fact]
    public void Chunks_that_are_not_neighbours_from_token_to_token_move_too()
    {
        var random = new Random(5);
        foreach (int chunk in new[] { 1, 2, 4, 16 })
        {
            // [chunk][token][head]: as if heads were innermost.
            const int Tokens = 19, Chunks = 12;
            var geometry = new PlaneGeometry(0, chunk, Heads * chunk, chunk, Tokens * Heads * chunk);
            Check(geometry, 1, 2, 17, Chunks * chunk, Tokens * Heads * Chunks * chunk, random);
        }
    }

    [Fact]
    public void What_does_not_fit_is_refused_with_both_values_and_nothing_is_written()
    {
        var geometry = new PlaneGeometry(0, 16 * 32, 2, 2, 32);
        var block = new byte[2 * 16 * 32];
        var rows = new byte[16 * 32];
        ChunkedRows.Gather(block, geometry, 1, 0, 16, 32, rows);
        Assert.Contains("end at byte 1026; the block has 1024", Assert.Throws<ArgumentException>(() => ChunkedRows.Gather(block, geometry, 1, 1, 16, 32, rows)).Message);
        Assert.Contains("take 512; the rows have 511", Assert.Throws<ArgumentException>(() => ChunkedRows.Scatter(block, geometry, 1, 0, 16, 32, rows.AsSpan(1))).Message);
        Assert.Contains("chunks of 2", Assert.Throws<ArgumentException>(() => ChunkedRows.Gather(block, geometry, 0, 0, 1, 31, rows)).Message);
        Assert.Throws<ArgumentException>(() => ChunkedRows.Scatter(block, geometry, -1, 0, 1, 32, rows));
        Assert.Throws<ArgumentException>(() => ChunkedRows.Scatter(block, geometry, 2, 0, 1, 32, rows));
        ChunkedRows.Scatter(block, geometry, 0, 0, 0, 32, []);
        Assert.DoesNotContain(block, b => b != 0);
    }

    private static IEnumerable<int> Counts(int blockTokens, Random random)
    {
        yield return 1;
        yield return blockTokens;
        yield return random.Next(1, blockTokens + 1);
        yield return random.Next(1, blockTokens + 1);
    }

    private static void Check(PlaneGeometry geometry, int head, int within, int tokens, int rowBytes, int blockBytes, Random random)
    {
        using var blockMemory = new GuardedBuffer(blockBytes);
        using var rowsMemory = new GuardedBuffer(tokens * rowBytes);
        // Against either guard page: what is not a whole page long is misaligned at its end.
        bool atStart = random.Next(2) == 0;
        Span<byte> block = atStart ? blockMemory.AtStart<byte>(blockBytes) : blockMemory.AtEnd<byte>(blockBytes);
        Span<byte> rows = random.Next(2) == 0 ? rowsMemory.AtStart<byte>(tokens * rowBytes) : rowsMemory.AtEnd<byte>(tokens * rowBytes);
        random.NextBytes(block);
        rows.Fill(Poison);
        byte[] expectedRows = new byte[rows.Length], expectedBlock = new byte[blockBytes];
        Array.Fill(expectedBlock, Poison);
        for (int t = 0; t < tokens; t++)
        {
            for (int i = 0; i < rowBytes; i++)
            {
                int at = head * geometry.HeadStrideBytes + (within + t) * geometry.TokenStrideBytes + i / geometry.ChunkBytes * geometry.ChunkStrideBytes + i % geometry.ChunkBytes;
                expectedRows[t * rowBytes + i] = block[at];
                expectedBlock[at] = block[at];
            }
        }

        string what = $"{geometry}, head {head}, tokens {within}..{within + tokens}, rows of {rowBytes}";
        ChunkedRows.Gather(block, geometry, head, within, tokens, rowBytes, rows);
        Same(expectedRows, rows, $"gathered, {what}");
        block.Fill(Poison);
        ChunkedRows.Scatter(block, geometry, head, within, tokens, rowBytes, rows);
        Same(expectedBlock, block, $"scattered, {what}");
    }

    private static void Same(ReadOnlySpan<byte> expected, ReadOnlySpan<byte> found, string what)
    {
        int at = found.CommonPrefixLength(expected);
        if (at < expected.Length) Assert.Fail($"{what}: byte {at} is 0x{found[at]:X2}, expected 0x{expected[at]:X2}");
    }
}

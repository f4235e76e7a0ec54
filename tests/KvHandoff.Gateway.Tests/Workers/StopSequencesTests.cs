using KvHandoff.Gateway.Workers;

namespace KvHandoff.Gateway.Tests.Workers;

public class StopSequencesTests
{
    [Fact]
    public void What_may_become_a_stop_sequence_is_held_back()
    {
        var stops = new StopSequences([[1, 2, 3], [2, 9]], [77]);
        Assert.Equal((0, false), stops.Examine([1]));
        Assert.Equal((0, false), stops.Examine([1, 2]));
        Assert.Equal((0, true), stops.Examine([1, 2, 3]));
        Assert.Equal((3, false), stops.Examine([1, 2, 4]));
        Assert.Equal((2, true), stops.Examine([5, 1, 2, 9]));
        Assert.Equal((3, false), stops.Examine([1, 2, 1, 1]));
        Assert.Equal((1, true), stops.Examine([5, 77]));
        Assert.Equal((2, false), new StopSequences([], []).Examine([5, 77]));
    }

    [Fact]
    public void Every_token_that_left_is_in_the_text_and_every_text_ends_where_a_search_finds_it()
    {
        var random = new Random(3);
        for (int round = 0; round < 400; round++)
        {
            int[][] stops = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => Draw(random, random.Next(1, 5)))];
            int[] text = Draw(random, 40);
            var sequences = new StopSequences(stops, []);
            // The definition: the first position at which some stop sequence is complete, and the longest of those.
            int end = Enumerable.Range(1, text.Length).FirstOrDefault(n => stops.Any(s => text.AsSpan(0, n).EndsWith(s)));
            int kept = end == 0 ? text.Length : end - stops.Where(s => text.AsSpan(0, end).EndsWith(s)).Max(s => s.Length);
            int told = 0;
            for (int n = 1; n <= text.Length; n++)
            {
                (int releasable, bool ends) = sequences.Examine(text.AsSpan(0, n));
                told = Math.Max(told, releasable);
                Assert.Equal(n == end, ends);
                Assert.True(told <= kept, $"{told} tokens left of a text of {kept}.");
                if (!ends) continue;
                Assert.Equal(kept, releasable);
                break;
            }
        }
    }

    private static int[] Draw(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => random.Next(3))];
}

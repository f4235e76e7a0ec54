namespace KvHandoff.Model;

/// <summary>
/// Runs independent items on a few threads. A worker's index tells which scratch memory it may use; which worker gets which item is
/// left open, so items must not depend on it.
/// </summary>
internal sealed class ItemWorkers(int count)
{
    /// <summary>Workers, the calling thread included.</summary>
    internal int Count { get; } = count;

    /// <summary>Calls <paramref name="body"/> with (worker, item) for items 0 .. <paramref name="items"/> - 1 and returns when all are done.</summary>
    internal void Run(int items, Action<int, int> body)
    {
        int workers = Math.Min(Count, items);
        if (workers <= 1)
        {
            for (int item = 0; item < items; item++) body(0, item);
            return;
        }

        int next = -1;
        Parallel.For(0, workers, new ParallelOptions { MaxDegreeOfParallelism = workers }, worker =>
        {
            for (int item = Interlocked.Increment(ref next); item < items; item = Interlocked.Increment(ref next)) body(worker, item);
        });
    }
}

using KvHandoff.Gateway.Contracts;

namespace KvHandoff.Gateway.Workers;

/// <summary>Takes a sequence to another worker, where it goes on.</summary>
internal interface IHandAway
{
    /// <summary>
    /// Takes the sequence over, which is then no longer the loop's, and later ends the request or adds it to the loop again. False, and
    /// nothing done, where no worker could take it.
    /// </summary>
    bool TryTake(Generation generation);

    /// <summary>Sequences that are taken and whose blocks will become free.</summary>
    int Leaving { get; }
}

// Who has a place in the batch, and who makes room.
internal sealed partial class TokenLoop
{
    // Blocks become free elsewhere too, in handoffs that end; nobody tells.
    private static readonly TimeSpan BlocksPoll = TimeSpan.FromMilliseconds(5);

    private TimeSpan WaitForBlocks => _waiting.Count > 0 || _running.Count > 0 ? BlocksPoll : Timeout.InfiniteTimeSpan;

    private void Admit()
    {
        if (_waiting.Count > 0)
        {
            _waiting.Sort((a, b) => a.GoesBefore(b) ? -1 : b.GoesBefore(a) ? 1 : 0);
            bool isBlocked = false;
            for (int i = 0; i < _waiting.Count && _running.Count < _batchSize;)
            {
                Generation next = _waiting[i];
                // One that has its blocks may overtake those that wait for some: when it is done, there are more.
                bool joins = next.Sequence is not null || (!isBlocked && TryBegin(next));
                isBlocked |= !joins;
                if (!joins)
                {
                    i++;
                    continue;
                }

                _waiting.RemoveAt(i);
                if (!Enter(next)) _running.Add(next);
            }
        }

        Count();
    }

    // True when it is complete already.
    private bool Enter(Generation generation)
    {
        generation.Join();
        if (generation.NeedsPrompt) return false;
        generation.Begin();
        _hasTold = true;
        if (!generation.Tell()) return false;
        End(generation, null);
        return true;
    }

    // All blocks of what is known, and one token more: a request does not come back only to make room again at once.
    private bool TryBegin(Generation generation)
    {
        var sequence = _cache.Begin(generation.Hashes, generation.Prompt.Length);
        if (!_cache.TryReserve(sequence, generation.KnownTokens + 1))
        {
            _cache.End(sequence);
            return false;
        }

        generation.Sequence = sequence;
        if (generation.Completion.IsEmpty) generation.CachedTokens = sequence.Tokens;
        Interlocked.Add(ref _reusedTokens, sequence.Tokens);
        return true;
    }

    private void MakeBatch()
    {
        _batch.Clear();
        _running.Sort((a, b) => a.GoesBefore(b) ? -1 : b.GoesBefore(a) ? 1 : 0);
        for (int i = 0; i < _running.Count; i++)
        {
            Generation generation = _running[i];
            if (generation.NeedsPrompt) continue;
            if (HasRow(generation)) _batch.Add(generation);
            // It gave way itself: the next one moved up.
            else if (generation.Sequence is null || generation.IsAway) i--;
        }
    }

    /// <summary>Whether there is room for the next row, made by others that give way, or by itself when all others matter more.</summary>
    private bool HasRow(Generation generation)
    {
        int rows = generation.Rows + 1;
        while (rows > generation.Sequence!.Capacity && !_cache.TryReserve(generation.Sequence, rows))
        {
            // Blocks are on their way: nobody else has to go.
            if (HandAway?.Leaving > 0) return false;
            Generation victim = Least();
            GiveWay(victim);
            if (ReferenceEquals(victim, generation)) return false;
        }

        return true;
    }

    private Generation Least()
    {
        Generation? least = null;
        foreach (Generation holder in _running.Concat(_waiting))
        {
            if (holder.Sequence is not null && (least is null || least.GoesBefore(holder))) least = holder;
        }

        return least!;
    }

    private void GiveWay(Generation victim)
    {
        Interlocked.Increment(ref _preemptions);
        victim.Preemptions++;
        _running.Remove(victim);
        _waiting.Remove(victim);
        if (!victim.IsGuest && !victim.NeedsPrompt && HandAway is not null && HandAway.TryTake(victim))
        {
            Count();
            return;
        }

        _cache.End(victim.Sequence!);
        victim.Sequence = null;
        _waiting.Add(victim);
        Count();
    }
}

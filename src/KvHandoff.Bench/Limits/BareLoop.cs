namespace KvHandoff.Bench.Limits;

/// <summary>The barest way to bring bytes to where a transport brings them, kept open so that it can be measured in turns with something else.</summary>
internal abstract class BareLoop : IAsyncDisposable
{
    /// <summary>Size of each side's buffer, through which the loop walks.</summary>
    internal const int BufferBytes = 256 << 20;

    /// <summary>Bytes of one call.</summary>
    internal const int MessageBytes = 1 << 20;

    /// <summary>Bytes of one sample of a limit.</summary>
    internal const long SampleBytes = 256 << 20;

    /// <summary>What it is, for reports.</summary>
    internal abstract string Name { get; }

    /// <summary>Sends so many bytes: seconds until the receiver has the last one and has said so.</summary>
    internal abstract Task<double> SecondsAsync(long bytes, CancellationToken cancellationToken);

    /// <summary>As <see cref="SecondsAsync"/>, with a checksum of every piece on both sides; null where this loop has none.</summary>
    internal virtual Task<double?> CheckedSecondsAsync(long bytes, CancellationToken cancellationToken) => Task.FromResult<double?>(null);

    public abstract ValueTask DisposeAsync();

    /// <summary>Samples in GB/s, after one that does not count.</summary>
    internal async Task<double[]> SampleAsync(int samples, CancellationToken cancellationToken)
    {
        await SecondsAsync(SampleBytes, cancellationToken);
        var result = new double[samples];
        for (int i = 0; i < samples; i++) result[i] = SampleBytes / await SecondsAsync(SampleBytes, cancellationToken) / 1e9;
        return result;
    }

    /// <summary>
    /// The barest loop there is for a transport: the one in C++ where it was built, else the one in C#; memcpy for shared memory, ucx_perftest for UCX where it is installed.
    /// </summary>
    internal static async Task<BareLoop> OpenAsync(string transport, CancellationToken cancellationToken)
    {
        if (transport == Workers.WorkerTransport.SharedMemory) return new CopyLoop();
        if (transport == Workers.WorkerTransport.Ucx)
            return (await UcxPerftestLoop.TryStartAsync(cancellationToken)).Loop is { } perftest ? perftest : await ManagedLoop.StartAsync(Workers.WorkerTransport.Tcp, cancellationToken);
        return NativeLoop.IsAvailable(transport) ? await NativeLoop.StartAsync(transport, cancellationToken) : await ManagedLoop.StartAsync(transport, cancellationToken);
    }
}

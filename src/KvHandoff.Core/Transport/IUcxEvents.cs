namespace KvHandoff.Transport;

/// <summary>What UCX tells the owner of a worker, always inside a call that the owner makes into that worker.</summary>
internal interface IUcxEvents
{
    /// <summary>A message came. The spans are valid inside the call only.</summary>
    void MessageArrived(ReadOnlySpan<byte> header, ReadOnlySpan<byte> data, bool isComplete);

    /// <summary>The endpoint can carry nothing any more.</summary>
    void EndpointFailed(int status);
}

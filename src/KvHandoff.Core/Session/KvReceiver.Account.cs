namespace KvHandoff.Session;

// What metrics and traces want to know of a receiver.
public sealed partial class KvReceiver
{
    /// <summary>Name of the transport.</summary>
    internal string Scheme => _listener.Endpoint.Scheme;
}

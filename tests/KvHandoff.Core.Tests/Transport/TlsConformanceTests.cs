using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

public sealed class TlsConformanceTests : ConnectionConformance
{
    protected override ITransport Transport => TlsTransport.Instance;

    protected override TransportEndpoint AnyEndpoint => new("tls", "127.0.0.1", 0);

    protected override TransportOptions Options => TestCertificates.Mutual;
}

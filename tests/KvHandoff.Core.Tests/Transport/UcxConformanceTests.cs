using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>UCX over TCP, as between hosts without RDMA.</summary>
[TestCaseOrderer("KvHandoff.Core.Tests.Transport.UcxNeeded", "KvHandoff.Core.Tests")]
public sealed class UcxTcpConformanceTests : ConnectionConformance
{
    protected override ITransport Transport => UcxTransport.Instance;

    protected override TransportEndpoint AnyEndpoint => UcxRows.Anywhere;

    protected override TransportOptions Options => UcxRows.Over(UcxRows.Tcp);
}

/// <summary>UCX over shared memory and copies between processes; TCP joins the two ends.</summary>
[TestCaseOrderer("KvHandoff.Core.Tests.Transport.UcxNeeded", "KvHandoff.Core.Tests")]
public sealed class UcxSharedMemoryConformanceTests : ConnectionConformance
{
    protected override ITransport Transport => UcxTransport.Instance;

    protected override TransportEndpoint AnyEndpoint => UcxRows.Anywhere;

    protected override TransportOptions Options => UcxRows.Over(UcxRows.SharedMemory);
}

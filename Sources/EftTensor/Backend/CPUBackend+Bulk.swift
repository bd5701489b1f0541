// SPDX-License-Identifier: Apache-2.0
// Bulk work outside models: conversions between types, and loops over the workers.
import CEftKernels

extension CPUBackend {
    /// Converts `count` numbers between f32, f16 and bf16; to a narrower type with round-to-nearest-even.
    package func convert(
        count: Int, from source: UnsafeRawPointer, _ sourceType: DType,
        to target: UnsafeMutableRawPointer, _ targetType: DType
    ) {
        eft_convert(
            context, count, source, kernelType(sourceType), target, kernelType(targetType))
    }

    /// Whether none of `count` numbers of type f32, f16 or bf16 is infinite or NaN.
    package func allFinite(count: Int, _ values: UnsafeRawPointer, _ type: DType) -> Bool {
        eft_all_finite(context, count, values, kernelType(type))
    }

    private func kernelType(_ type: DType) -> eft_float_type {
        switch type {
        case .f32: return EFT_F32
        case .f16: return EFT_F16
        case .bf16: return EFT_BF16
        default: preconditionFailure("the kernels have no \(type.rawValue)")
        }
    }

    /// Calls `body` for every index below `count`, spread over the workers in no particular order.
    ///
    /// Calls for different indices run at the same time; what they write must not overlap.
    package func parallelFor(_ count: Int, _ body: (_ index: Int) -> Void) {
        guard count > 0 else { return }
        withoutActuallyEscaping(body) { body in
            let box = LoopBody(body)
            eft_parallel_for(
                context, count,
                { argument, index, _ in
                    guard let argument else { return }
                    Unmanaged<LoopBody>.fromOpaque(argument).takeUnretainedValue().call(index)
                }, Unmanaged.passUnretained(box).toOpaque())
            // Keeps the box until all workers are done with it.
            withExtendedLifetime(box) {}
        }
    }
}

/// Carries a loop's body through C.
private final class LoopBody {
    let call: (Int) -> Void
    init(_ call: @escaping (Int) -> Void) { self.call = call }
}

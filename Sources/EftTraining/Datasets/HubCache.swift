// SPDX-License-Identifier: Apache-2.0
// Data sets that `hf download` and other programs have left in the cache of Hugging Face.
import EftConfig
import EftFormats

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The cache of huggingface_hub: a folder `datasets--OWNER--NAME`, with a folder for each revision.
struct HubCache {
    /// The folder of the cache; nil when nothing says where it is.
    let folder: String?

    /// A cache in a folder.
    init(folder: String?) { self.folder = folder }

    /// The user's: `HF_HUB_CACHE`, `HF_HOME`, or in the home folder.
    static var ofUser: HubCache {
        func variable(_ name: String, _ below: String) -> String? {
            guard let text = getenv(name).map({ String(cString: $0) }), text.hasPrefix("/") else {
                return nil
            }
            return text + below
        }
        return HubCache(
            folder: variable("HF_HUB_CACHE", "") ?? variable("HF_HOME", "/hub")
                ?? variable("HOME", "/.cache/huggingface/hub"))
    }

    /// The files of a data set, at the revision asked for or the main one; nil when they are not there.
    func dataset(_ id: String, revision: String?) -> String? {
        let parts = id.split(separator: "/", omittingEmptySubsequences: false)
        guard let folder, (1...2).contains(parts.count), !id.contains("--"),
            parts.allSatisfy({ !$0.isEmpty && !$0.hasPrefix(".") })
        else { return nil }
        let place = FileSystem.join(folder, "datasets--" + parts.joined(separator: "--"))
        let named = FileSystem.join(place, "refs/" + (revision ?? "main"))
        var commit = revision ?? ""
        if let bytes = try? ConfigFile.contents(named, maximumSize: 1024) {
            commit = String(decoding: bytes, as: UTF8.self).filter { !$0.isWhitespace }
        }
        guard !commit.isEmpty, !commit.contains("/") else { return nil }
        let snapshot = FileSystem.join(place, "snapshots/" + commit)
        return FileSystem.isFolder(snapshot) ? snapshot : nil
    }
}

// SPDX-License-Identifier: Apache-2.0
// Short texts in many languages and scripts, written for this project.

extension BuiltInText {
    /// A paragraph or two in each language.
    static let languages = [
        """
        Der Zug nach Lindau fährt heute von Gleis sieben, und er hat, wie fast jeden Freitag, ein paar \
        Minuten Verspätung. Auf dem Bahnsteig steht eine Frau mit einem Cello, das größer wirkt als sie \
        selbst. Ein Junge fragt sie, ob man damit auch fliegen könne. »Nur mit einer eigenen Fahrkarte«, \
        antwortet sie ernst. Über den Dächern ziehen Wolken auf, die nach Gewitter aussehen; der Bäcker \
        gegenüber rollt schon die Markise ein. Wer in den Süden will, sollte sich in den vorderen Wagen \
        setzen, denn die hinteren drei bleiben in Ulm. Das Museum öffnet dienstags bis sonntags von zehn \
        bis achtzehn Uhr, der Eintritt kostet 8,50 €, ermäßigt 5 €.
        """,
        """
        Chaque matin, avant que le marché n'ouvre, Hélène déplace les caisses de poires vers l'ombre du \
        platane. Elle dit que la chaleur les rend bavardes : elles mûrissent toutes en même temps et l'on \
        n'entend plus qu'elles. Son voisin, qui vend des fromages de chèvre, prétend le contraire. Ils se \
        disputent depuis vingt-deux ans, sans jamais hausser la voix, et partagent le café à neuf heures. \
        L'eau bout à cent degrés au niveau de la mer ; en montagne, à trois mille mètres, elle bout déjà \
        vers quatre-vingt-dix degrés, parce que la pression de l'air y est plus faible. C'est pourquoi il \
        faut cuire les pâtes plus longtemps.
        """,
        """
        La biblioteca del barrio cierra a las ocho, pero Tomás siempre encuentra una razón para quedarse \
        un cuarto de hora más. ¿Qué busca entre los mapas viejos? Nadie lo sabe con certeza. Dicen que su \
        abuelo trazó un camino que ya no existe, entre dos pueblos que cambiaron de nombre. El año pasado \
        la cosecha de aceitunas fue un treinta por ciento menor que la anterior, debido a la sequía y a \
        las heladas tardías de abril. Los agricultores piden ayudas; el gobierno promete estudiarlas. \
        Mientras tanto, el precio del aceite ha subido de cinco a nueve euros por litro.
        """,
        """
        Il treno regionale delle sette e dodici porta a Siena studenti, impiegati e, il mercoledì, due \
        musicisti con le custodie legate da uno spago. Chi vuole sedersi deve salire in testa. Nel \
        laboratorio del restauratore l'odore della colla si mescola a quello del caffè: «Il legno ricorda \
        tutto», ripete, «anche l'umidità di cent'anni fa». Per preparare la pasta servono quattrocento \
        grammi di farina, quattro uova e un pizzico di sale; poi si impasta per dieci minuti e si lascia \
        riposare sotto un panno.
        """,
        """
        Quando a maré baixa, as crianças procuram caranguejos entre as pedras e os velhos discutem o \
        tempo que fará amanhã. Não há acordo: uns olham para as gaivotas, outros para o rádio. A ponte \
        nova encurtou a viagem para quarenta minutos, mas a barca continua cheia aos domingos, porque na \
        barca se conversa. O relatório conclui que o consumo de água diminuiu 12,4% em relação a 2019, \
        sobretudo graças à reparação de condutas com mais de sessenta anos.
        """,
        """
        De sluis gaat om het halve uur open. Tot die tijd drinkt de schipper koffie en kijkt hij naar de \
        reigers, die nooit haast hebben. Zijn dochter studeert in Delft en rekent uit hoeveel water er bij \
        elke schutting verloren gaat: ruim tweeduizend kubieke meter. Toen de dijk in 1953 brak, stond het \
        dorp drie weken onder water; het merkteken aan de kerk zit hoger dan een volwassen man reiken kan.

        Biblioteket ligger mellem havnen og det gamle rådhus. Om vinteren bliver det tidligt mørkt, og så \
        lyser vinduerne ud over isen. Hon bor på tredje våningen, precis ovanför bageriet, och vaknar \
        varje morgon av doften av kardemumma. Kirjasto on auki arkisin yhdeksästä kahdeksaan.
        """,
        """
        Na rynku stoi zegar, który od wojny spieszy się o siedem minut, i nikt nie chce go naprawić, bo \
        dzięki niemu wszyscy zdążają na pociąg. Pani Zofia sprzedaje obok jabłka, śliwki i miód \
        gryczany. „Proszę spróbować” – mówi – „w tym roku pszczoły miały dużo pracy”. Badania wykazały, że \
        temperatura jeziora wzrosła w ciągu trzydziestu lat o półtora stopnia.

        Knihovna má nový katalog a staré schody; čtenáři chválí obojí. Řeka letos zamrzla až v únoru. A \
        hegyekben tegnap óta havazik, ezért a busz csak a faluig megy. Biblioteca se închide la ora opt.
        """,
        """
        Поезд пришёл под утро, когда город ещё спал, и только в окне пекарни горел свет. Анна поставила \
        чемодан на перрон и прислушалась: где-то далеко звонил трамвай. «Вам помочь?» — спросил дежурный. \
        Она покачала головой. В письме было сказано: второй дом от моста, зелёная дверь, звонить дважды. \
        Скорость света в вакууме равна 299 792 458 метрам в секунду; в воде свет движется примерно на \
        четверть медленнее. Бібліотека працює щодня, крім понеділка, з десятої до шостої.
        """,
        """
        老王的修表店开在巷子尽头,门口挂着一只停在三点十分的大钟。有人问他为什么不修,他笑着说:\
        “招牌要是走得太准,谁还进来问我时间呢?”每天下午,他把收音机的声音调得很低,一边听戏,一边用镊子\
        夹起比芝麻还小的螺丝。水在标准大气压下于一百摄氏度沸腾;海拔越高,气压越低,沸点也就越低。\
        本次调查共收回问卷一千二百四十份,其中有效问卷占百分之九十三。圖書館每週一休館,其餘時間從\
        上午九點開放到晚上八點。
        """,
        """
        駅前の小さな喫茶店では、毎朝七時に最初のコーヒーを淹れる音がする。店主は無口だが、常連の\
        好みはすべて覚えている。雨の日には窓際の席が人気で、みんな黙って傘の列を眺めている。「今日は\
        遅いですね」と声をかけられた学生は、照れたように笑って時計を見た。光の速さは毎秒およそ三十万\
        キロメートルで、太陽の光が地球に届くまでには八分あまりかかる。申し込みは三月末日までに、\
        インターネットまたは郵便で受け付けます。
        """,
        """
        할머니의 국수집은 시장 골목 안쪽에 있어서 처음 오는 사람은 꼭 한 번은 길을 잃는다. 그래도 점심때가 \
        되면 자리가 없다. "기다리는 맛도 맛이지요." 할머니는 그렇게 말하며 멸치 국물을 한 국자 더 부어 준다. \
        지난해 도시의 평균 기온은 평년보다 섭씨 일 도 높았고, 비가 온 날은 열이틀 적었다. 신청서는 이번 주 \
        금요일까지 제출해야 합니다.
        """,
        """
        في آخر الزقاق دكان صغير يبيع الكتب القديمة، وصاحبه لا يرفع رأسه عن الصفحة إلا إذا سأله أحد عن \
        الثمن. قال لي مرة: الكتاب الذي يبحث عنك أهم من الكتاب الذي تبحث عنه. تدور الأرض حول الشمس في نحو \
        ثلاثمئة وخمسة وستين يوما وربع اليوم، ولذلك تضاف كل أربع سنوات سنة كبيسة.

        در پایان بازار، مغازه‌ای هست که فقط چای می‌فروشد. הספרייה פתוחה בימי ראשון עד חמישי, משעה תשע עד שבע.
        """,
        """
        गाँव के बाहर एक पुराना कुआँ है जिसके पास हर शाम लोग बैठते हैं और दिन भर की बातें करते हैं। दादी कहती \
        हैं कि पहले पानी इतना ऊपर था कि हाथ से छू सकते थे। अब रस्सी बीस हाथ लंबी है। विद्यालय का नया सत्र एक \
        जुलाई से आरंभ होगा और प्रवेश के लिए आवेदन दस जून तक भेजे जा सकते हैं।

        நூலகம் காலை ஒன்பது மணிக்குத் திறக்கும். গ্রামের শেষে একটা পুরোনো বটগাছ আছে। ห้องสมุดเปิดทุกวันยกเว้นวันจันทร์
        """,
        """
        Köprünün altındaki balıkçı, yağmur başlamadan eve döneceğini söylemişti ama bulutlar ondan hızlı \
        çıktı. Çayını bitirirken gülümsedi: \u{201C}Deniz acele etmez.\u{201D} Kütüphane hafta içi saat dokuzda açılır.

        Quán phở ở đầu phố mở cửa từ năm giờ sáng, khi trời còn tối và xe máy còn thưa. Bà chủ nhớ mặt từng \
        người khách. Perpustakaan buka setiap hari kerja dari pukul delapan pagi sampai lima sore. Maktaba \
        iko karibu na soko, na watoto huja hapa kila jioni kusoma hadithi.

        Η βιβλιοθήκη βρίσκεται απέναντι από το λιμάνι, και τα παράθυρά της βλέπουν τα καράβια που φεύγουν.
        """,
    ]
}
